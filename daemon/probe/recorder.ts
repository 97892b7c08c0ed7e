/**
 * What crossed the TUN for one probe: the ladder and the steps of the connection's life. Everything is taken from
 * the segments themselves, not from the engine's state. Times are kept as offsets from the first SYN.
 */

import type { SegmentRecord, Steps, SynOptions } from '#contract';
import { CONTRACT_LIMITS } from '#contract';
import type { SegmentView } from '../tcp/types.ts';
import type { Seq } from '../wire/seq.ts';
import { seqAdd, seqDiff } from '../wire/seq.ts';
import { ACK, FIN, flagNames, RST, SYN } from '../wire/tcp-header.ts';
import type { TcpOptions } from '../wire/tcp-options.ts';

type Direction = 'in' | 'out';

/** RFC 7323 2.3: a larger shift counts as this. */
const WINDOW_SHIFT_MAX = 14;

export class Recorder {
  /** Monotonic time of the first SYN as it was written; undefined until then. */
  originUs: number | undefined;
  readonly steps: { -readonly [Name in keyof Steps]: Steps[Name] } = {};
  readonly segments: SegmentRecord[] = [];
  folded = 0;
  offered: SynOptions | undefined;
  accepted: SynOptions | undefined;
  synsSent = 0;
  finsSent = 0;
  requestsSent = 0;
  synAckRepeats = 0;
  /** An ACK without SYN in answer to a SYN, and which SYN it was (1 is the first). */
  bareAck: { readonly atUs: number; readonly syn: number } | undefined;
  /** A SYN without ACK: the peer opened at the same time. RFC 9293 3.5, figure 7 */
  peerSynUs: number | undefined;
  /** The SYN after which the SYN-ACK came. */
  acceptedSyn: number | undefined;
  /** Segments that came before the SYN-ACK and cannot be for our SYN. */
  readonly unacceptable = { segments: 0, resets: 0 };
  resetUs: number | undefined;
  progressed = false;
  peerClosedFirst = false;
  handshakeNetUs: number | undefined;
  /** TTL or hop limit of the peer's first answer. */
  ttl: number | undefined;
  iss: Seq | undefined;
  readonly #requestBytes: number;
  #irs: Seq | undefined;
  /** After the last octet we sent, and after the last one we said we would take. */
  #sentEnd: Seq | undefined;
  #windowEdge: Seq | undefined;
  #finEnd: Seq | undefined;
  #peerFinEnd: Seq | undefined;
  readonly #syns: { readonly atUs: number; readonly timestamp: number | undefined }[] = [];

  /** @param requestBytes length of the request, 0 when there is none */
  constructor(requestBytes: number) {
    this.#requestBytes = requestBytes;
  }

  /** Offset from the first SYN; 0 as long as there was none. */
  offset(nowUs: number): number {
    return this.originUs === undefined ? 0 : Math.max(0, Math.round(nowUs - this.originUs));
  }

  /** A segment of the probe's own connection. */
  segment(direction: Direction, atUs: number, view: SegmentView): void {
    const before = Object.keys(this.steps).length;
    const ignored = direction === 'in' ? this.#ignored(view) : undefined;
    if (direction === 'out') this.#sent(atUs, view);
    else if (ignored === undefined) this.#received(atUs, view);
    else this.#countIgnored(view);
    const made = Object.keys(this.steps).length > before;
    const record = this.#record(direction, atUs, view);
    this.#keep(ignored === undefined ? record : { ...record, note: ignored }, made);
  }

  /** A SYN-ACK for the probe's SYN that came from somewhere else. */
  stray(atUs: number, view: SegmentView, from: string): void {
    this.#keep({ ...this.#record('in', atUs, view), seq: 0, from }, true);
  }

  icmp(atUs: number, from: string, note: string): void {
    const record: SegmentRecord = {
      atUs: this.offset(atUs),
      direction: 'in',
      kind: 'icmp',
      flags: [],
      seq: 0,
      length: 0,
      window: 0,
      retransmission: false,
      from,
      note,
    };
    this.#keep(record, true);
  }

  /**
   * Why a segment cannot be the peer's word on this connection, or undefined when it can: anyone who knows the
   * ports can send one, and the engine does not take it either. RFC 9293 3.10.7.3 and 3.10.7.4, RFC 5961 5.2
   */
  #ignored({ flags, seq, ack }: SegmentView): string | undefined {
    if (this.iss === undefined || this.#sentEnd === undefined) return undefined;
    const answersSyn = (flags & ACK) !== 0 && seqDiff(ack, this.iss) === 1;
    if (flags & SYN) {
      if (flags & ACK && !answersSyn) return 'does not acknowledge our SYN';
      return this.#irs !== undefined && seq !== this.#irs ? 'is not the SYN of this connection' : undefined;
    }
    if (this.#irs === undefined)
      return flags & RST && !answersSyn ? 'does not acknowledge our SYN' : undefined;
    if (flags & ACK && !(flags & RST) && seqDiff(ack, this.#sentEnd) > 0)
      return 'acknowledges what was never sent';
    const early = seqDiff(seq, this.#irs) < 0;
    const late = this.#windowEdge !== undefined && seqDiff(seq, this.#windowEdge) > 0;
    return early || late ? 'lies outside the receive window' : undefined;
  }

  #countIgnored({ flags }: SegmentView): void {
    if (this.steps.synAckReceivedUs !== undefined) return;
    this.unacceptable.segments++;
    if (flags & RST) this.unacceptable.resets++;
  }

  #sent(atUs: number, view: SegmentView): void {
    const { flags, payloadLength } = view;
    const { steps } = this;
    this.#extend(view);
    if (flags & SYN) {
      this.originUs ??= atUs;
      this.iss ??= view.seq;
      this.offered ??= synOptions(view.options);
      // The SYN-ACK of a simultaneous open is the same SYN, with its answer to the peer's.
      if (flags & ACK) return;
      this.synsSent++;
      this.#syns.push({ atUs, timestamp: view.options.timestamps?.value });
      steps.synSentUs ??= 0;
      return;
    }
    if (flags & RST) return;
    const at = this.offset(atUs);
    if (steps.synAckReceivedUs !== undefined) steps.ackSentUs ??= at;
    if (payloadLength > 0) {
      steps.requestSentUs ??= at;
      if (this.iss !== undefined && seqDiff(view.seq, this.iss) === 1) this.requestsSent++;
    }
    if (flags & FIN) {
      steps.finSentUs ??= at;
      this.finsSent++;
      this.#finEnd ??= endOf(view);
    }
    if (this.#peerFinEnd !== undefined && seqDiff(view.ack, this.#peerFinEnd) >= 0)
      steps.lastAckSentUs ??= at;
  }

  /** How far we have sent and opened our window. */
  #extend(view: SegmentView): void {
    const end = endOf(view);
    if (this.#sentEnd === undefined || seqDiff(end, this.#sentEnd) > 0) this.#sentEnd = end;
    if (!(view.flags & ACK) || view.flags & RST) return;
    const edge = seqAdd(view.ack, view.flags & SYN ? view.window : view.window * 2 ** this.#shift('out'));
    if (this.#windowEdge === undefined || seqDiff(edge, this.#windowEdge) > 0) this.#windowEdge = edge;
  }

  #received(atUs: number, view: SegmentView): void {
    const { flags, payloadLength } = view;
    const { steps } = this;
    const at = this.offset(atUs);
    if (flags & RST) {
      this.ttl ??= view.ttl;
      this.resetUs = at;
      return;
    }
    if (flags & SYN) {
      this.ttl ??= view.ttl;
      this.#irs ??= view.seq;
      this.accepted ??= synOptions(view.options);
      if (!(flags & ACK)) this.peerSynUs ??= at;
      else if (steps.ackSentUs !== undefined) this.synAckRepeats++;
    }
    if (this.#irs === undefined) {
      if (flags & ACK) this.bareAck ??= { atUs: at, syn: this.synsSent };
      return;
    }
    if (flags & ACK && steps.synAckReceivedUs === undefined) {
      steps.synAckReceivedUs = at;
      this.acceptedSyn = this.synsSent;
      this.handshakeNetUs = this.#netHandshake(atUs, view.options.timestamps?.echo);
    }
    if (payloadLength > 0) {
      this.progressed = true;
      if (this.#requestBytes === 0 || steps.requestSentUs !== undefined) steps.firstByteUs ??= at;
    }
    if (flags & FIN) {
      this.progressed = true;
      if (steps.finReceivedUs === undefined) this.peerClosedFirst = steps.finSentUs === undefined;
      steps.finReceivedUs ??= at;
      this.#peerFinEnd ??= endOf(view);
    }
    if (flags & ACK && this.iss !== undefined) {
      const acked = seqDiff(view.ack, this.iss);
      if (acked > 1) this.progressed = true;
      if (this.#requestBytes > 0 && acked > this.#requestBytes) steps.requestAckedUs ??= at;
      if (this.#finEnd !== undefined && seqDiff(view.ack, this.#finEnd) >= 0) steps.finAckedUs ??= at;
    }
  }

  /**
   * From the SYN that was answered to the answer. The timestamp echo tells which SYN that was (RFC 7323); without
   * timestamps it is taken to be the last one (the ambiguity of Karn's algorithm).
   */
  #netHandshake(atUs: number, echo: number | undefined): number | undefined {
    const answered = this.#syns.find(({ timestamp }) => timestamp !== undefined && timestamp === echo);
    const syn = answered ?? this.#syns.at(-1);
    return syn === undefined ? undefined : Math.round(atUs - syn.atUs);
  }

  #record(direction: Direction, atUs: number, view: SegmentView): SegmentRecord {
    const [own, other] = direction === 'out' ? [this.iss, this.#irs] : [this.#irs, this.iss];
    return {
      atUs: this.offset(atUs),
      direction,
      kind: 'tcp',
      // FIN, SYN or RST first, then PSH and ACK: as people say it.
      flags: flagNames(view.flags).reverse(),
      // A RST or bare ACK in answer to a SYN has a sequence number that nothing is known to be relative to.
      seq: own === undefined ? 0 : seqDiff(view.seq, own) >>> 0,
      ...(view.flags & ACK && other !== undefined ? { ack: seqDiff(view.ack, other) >>> 0 } : {}),
      length: view.payloadLength,
      window: view.flags & SYN ? view.window : view.window * 2 ** this.#shift(direction),
      retransmission: view.retransmission,
    };
  }

  /** Windows are scaled when both SYNs said so. RFC 7323 2.2 */
  #shift(direction: Direction): number {
    const ours = this.offered?.windowScale;
    const theirs = this.accepted?.windowScale;
    if (ours === undefined || theirs === undefined) return 0;
    return Math.min(direction === 'out' ? ours : theirs, WINDOW_SHIFT_MAX);
  }

  #keep(record: SegmentRecord, telling: boolean): void {
    const { segments } = this;
    const plain =
      !telling && !record.retransmission && record.flags.every((flag) => flag === 'ACK' || flag === 'PSH');
    const room = plain ? CONTRACT_LIMITS.segmentsWhole : CONTRACT_LIMITS.segments;
    if (segments.length < room) segments.push(record);
    else this.folded++;
  }
}

/** The sequence number after a segment's last octet, SYN and FIN counted. */
function endOf({ seq, payloadLength, flags }: SegmentView): Seq {
  return seqAdd(seq, payloadLength + (flags & SYN ? 1 : 0) + (flags & FIN ? 1 : 0));
}

function synOptions({ mss, windowScale, sackPermitted, timestamps }: TcpOptions): SynOptions {
  return {
    ...(mss === undefined ? {} : { mss }),
    ...(windowScale === undefined ? {} : { windowScale }),
    sackPermitted,
    timestamps: timestamps !== undefined,
  };
}
