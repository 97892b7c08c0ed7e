/** What happened in a simulation of two hosts, in order: every segment with its fate, every change of state. */

import type { StackEvent, StateName, TcpInfo } from '../tcp/types.ts';
import { decodeIp } from '../wire/ip.ts';
import type { Seq } from '../wire/seq.ts';
import { seqAdd, seqDiff } from '../wire/seq.ts';
import type { TcpFlags, TcpHeader } from '../wire/tcp-header.ts';
import { ACK, decodeTcpHeader, FIN, SYN } from '../wire/tcp-header.ts';
import type { TcpOptions } from '../wire/tcp-options.ts';
import { decodeTcpOptions } from '../wire/tcp-options.ts';
import type { Fate } from './link.ts';
import type { PacketRecord } from './simulation.ts';

export type Side = 'client' | 'server';

/** Why a segment was sent that brings nothing new. */
export type Reason = 'timeout' | 'fast-retransmit' | 'tail-probe' | 'window-probe' | 'keepalive-probe';

/** One segment as it was sent. */
export interface SentSegment {
  readonly from: Side;
  readonly flags: TcpFlags;
  /** Relative to the sender's initial sequence number. */
  readonly seq: number;
  /** Relative to the receiver's initial sequence number; undefined without ACK. */
  readonly ack: number | undefined;
  readonly length: number;
  /** Bytes, scaled where scaling is in force. */
  readonly window: number;
  /** What was received beyond `ack`, or (first, D-SACK) twice; numbers as those of `ack`. */
  readonly sack?: readonly { readonly left: number; readonly right: number }[];
  /** All of it was sent before. */
  readonly retransmission: boolean;
  readonly reason?: Reason;
  readonly fate: Fate;
  /** What it is, when no engine sent it. */
  readonly note?: string;
}

/** A moment: a segment that was sent, states that were entered, or both. */
export interface Moment {
  readonly atUs: number;
  readonly segment?: SentSegment;
  readonly client?: readonly StateName[];
  readonly server?: readonly StateName[];
}

interface Direction {
  iss: Seq | undefined;
  /** Shift count of the SYN; undefined when it offered none. */
  shift: number | undefined;
  /** End of what was sent so far, relative. */
  sentTo: number;
  /** Its SYN was sent with ACK. */
  synAcked: boolean;
}

interface Entry {
  readonly atUs: number;
  segment?: SentSegment;
  client?: readonly StateName[];
  server?: readonly StateName[];
}

interface Entered {
  readonly atUs: number;
  readonly state: StateName;
}

export class Transcript {
  readonly #entries: Entry[] = [];
  readonly #directions: Readonly<Record<Side, Direction>> = {
    client: newDirection(),
    server: newDirection(),
  };
  /** Packets whose own event of the engine was not seen yet. */
  readonly #awaiting: Readonly<Record<Side, { readonly entry: Entry; readonly seq: Seq }[]>> = {
    client: [],
    server: [],
  };
  /** States that were entered and stand beside no segment yet. */
  readonly #entered: Readonly<Record<Side, Entered[]>> = { client: [], server: [] };

  /** To be called with each packet, in the order they are sent. */
  packet({ atUs, from, fate, packet, note }: PacketRecord): void {
    const ip = decodeIp(packet);
    const header = ip.ok ? decodeTcpHeader(packet, ip.value.payload, ip.value.end) : ip;
    if (!ip.ok || !header.ok) return;
    const options = decodeTcpOptions(packet, header.value.options, header.value.payload);
    const length = ip.value.end - header.value.payload;
    const segment = this.#segment(from as Side, header.value, options, length, note !== undefined);
    const entry: Entry = { atUs, segment: { ...segment, fate, ...(note === undefined ? {} : { note }) } };
    this.#entries.push(entry);
    if (note === undefined) this.#awaiting[segment.from].push({ entry, seq: header.value.seq });
  }

  /**
   * To be called with each event of either stack. What a stack tells lies in its true order, so a state stands beside
   * the segment that was sent next, at the same moment; else alone.
   */
  event(side: Side, event: StackEvent, info?: TcpInfo): void {
    if (event.kind === 'state') this.#entered[side].push({ atUs: event.atUs, state: event.to });
    if (event.kind !== 'segment' || event.direction !== 'out') return;
    const { seq, flags, payloadLength } = event.segment;
    const awaiting = this.#awaiting[side];
    const at = awaiting.findIndex(
      ({ seq: sent, entry: { atUs, segment } }) =>
        sent === seq && atUs === event.atUs && segment?.flags === flags && segment.length === payloadLength,
    );
    const entry = awaiting[at]?.entry;
    if (entry?.segment === undefined) return;
    // What lies before it no connection has sent: answers to strangers.
    awaiting.splice(0, at + 1);
    const states = this.#takeStates(side, event.atUs);
    if (states.length > 0) entry[side] = states;
    const reason = reasonOf(event, entry.segment, info);
    if (reason !== undefined) entry.segment = { ...entry.segment, reason };
  }

  /** All so far. */
  moments(): Moment[] {
    for (const side of ['client', 'server'] as const) this.#takeStates(side, Number.POSITIVE_INFINITY);
    return this.#entries.toSorted((a, b) => a.atUs - b.atUs);
  }

  /** States entered at that moment; older ones get a line of their own. */
  #takeStates(side: Side, nowUs: number): StateName[] {
    const entered = this.#entered[side].splice(0);
    const older = entered.filter(({ atUs }) => atUs !== nowUs);
    for (const [atUs, group] of Map.groupBy(older, ({ atUs }) => atUs)) {
      this.#entries.push({ atUs, [side]: group.map(({ state }) => state) });
    }
    return entered.filter(({ atUs }) => atUs === nowUs).map(({ state }) => state);
  }

  #segment(
    from: Side,
    header: TcpHeader,
    { windowScale: shift, sack }: TcpOptions,
    length: number,
    foreign: boolean,
  ): Omit<SentSegment, 'fate'> {
    const own = this.#directions[from];
    const other = this.#directions[from === 'client' ? 'server' : 'client'];
    const { flags } = header;
    const syn = (flags & SYN) !== 0;
    const acks = (flags & ACK) !== 0;
    if (syn && !foreign && header.seq !== own.iss) {
      // A connection after the first one: what the other end said in that does not count.
      if (own.iss !== undefined && !acks) Object.assign(other, newDirection());
      Object.assign(own, newDirection(), { iss: header.seq });
    }
    if (syn) own.shift = shift;
    const seq = own.iss === undefined ? 0 : seqDiff(header.seq, own.iss);
    const octets = length + (syn ? 1 : 0) + ((flags & FIN) !== 0 ? 1 : 0);
    // A SYN that answers the peer's, after one that did not: the number is old, the acknowledgement is not.
    const answers = syn && acks && !own.synAcked;
    const retransmission = !foreign && octets > 0 && seq + octets <= own.sentTo && !answers;
    own.synAcked ||= syn && acks;
    own.sentTo = Math.max(own.sentTo, seq + octets);
    const { iss } = other;
    const scales = !syn && own.shift !== undefined && other.shift !== undefined;
    return {
      from,
      flags,
      seq,
      ack: !acks || iss === undefined ? undefined : seqDiff(header.ack, iss),
      length,
      window: scales ? header.window << (own.shift ?? 0) : header.window,
      ...(sack === undefined || iss === undefined
        ? {}
        : {
            sack: sack.map(({ left, right }) => ({ left: seqDiff(left, iss), right: seqDiff(right, iss) })),
          }),
      retransmission,
    };
  }
}

function newDirection(): Direction {
  return { iss: undefined, shift: undefined, sentTo: 0, synAcked: false };
}

/** @param info of the connection just after it was sent */
function reasonOf(
  { segment }: Extract<StackEvent, { kind: 'segment' }>,
  { retransmission, length }: SentSegment,
  info: TcpInfo | undefined,
): Reason | undefined {
  const { flags, seq } = segment;
  // A SYN,ACK comes again when its SYN does, too.
  if ((flags & SYN) !== 0) return retransmission && (flags & ACK) === 0 ? 'timeout' : undefined;
  if (info === undefined) return undefined;
  if (
    info.probes > 0 &&
    info.sndWnd === 0 &&
    (retransmission || length > 0 || seq === seqAdd(info.sndUna, -1))
  ) {
    return 'window-probe';
  }
  if (!retransmission) {
    return info.probes > 0 && length === 0 && seq === seqAdd(info.sndNxt, -1) && (flags & FIN) === 0
      ? 'keepalive-probe'
      : undefined;
  }
  if (info.recovery === undefined) return undefined;
  return info.recovery === 'loss'
    ? 'timeout'
    : info.recovery === 'recovery'
      ? 'fast-retransmit'
      : 'tail-probe';
}
