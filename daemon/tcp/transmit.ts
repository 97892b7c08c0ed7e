/** The next packet of a connection, made when it is written, so that what it says of time and windows is true. */

import { type Seq, seq, seqAdd, seqDiff, seqLt } from '../wire/seq.ts';
import { ACK, CWR, ECE, FIN, PSH, SYN, type TcpFlags, URG } from '../wire/tcp-header.ts';
import { NO_OPTIONS, type TcpOptions } from '../wire/tcp-options.ts';
import { type Agreement, synOptions } from './agreement.ts';
import type { Connection } from './connection.ts';
import type { Core } from './core.ts';
import { largestToCome, synWindow } from './establish.ts';
import type { OutgoingSegment, PacketBuilder } from './packets.ts';
import { timestampValue } from './process-segment.ts';
import type { Profile } from './profile.ts';
import type { Receiver } from './receiver.ts';
import type { Sender } from './sender.ts';
import { hasSender, type SynchronizedState, type SynReceived, type SynSent } from './states.ts';
import type { Transmission } from './transmission.ts';
import type { SegmentView } from './types.ts';

/** SACK blocks that fit the header, beside timestamps and without. */
const SACK_BLOCKS_WITH_TIMESTAMPS = 3;
const SACK_BLOCKS_MAX = 4;

/** ECT(0) of RFC 3168 section 5. */
const ECN_CAPABLE = 2;
const ECN_BITS = 3;
const POINTER_MAX = 0xffff;
const NO_LAYOUT: OutgoingSegment['layout'] = [];

/** A segment that is being made. */
type Draft = { -readonly [K in keyof OutgoingSegment]: OutgoingSegment[K] };

/** The packet, or undefined when the connection has nothing to send now. */
export function nextPacket(
  core: Core,
  packets: PacketBuilder,
  connection: Connection,
  nowUs: number,
): Uint8Array | undefined {
  if (connection.reset !== undefined) return resetPacket(core, packets, connection, nowUs);
  const { state } = connection;
  if (connection.endedAs !== undefined) return undefined;
  if ('syn' in state && state.syn.due) return synPacket(core, packets, connection, state, nowUs);
  if (state.name === 'SYN-SENT') return undefined;
  const transmission = hasSender(state) ? nextTransmission(state, nowUs) : undefined;
  if (transmission === undefined && connection.keepAlive.due) {
    return keepAlivePacket(core, packets, connection, state, nowUs);
  }
  if (transmission === undefined && state.receiver.acks.duty.kind !== 'now') return undefined;
  return dataPacket(core, packets, connection, state, transmission, nowUs);
}

function sackBlocksMost({ timestamps }: Agreement): number {
  return timestamps ? SACK_BLOCKS_WITH_TIMESTAMPS : SACK_BLOCKS_MAX;
}

function nextTransmission(
  state: Extract<SynchronizedState, { readonly sender: unknown }>,
  nowUs: number,
): Transmission | undefined {
  const blocks = state.receiver.sackBlocks(sackBlocksMost(state.agreement))?.length ?? 0;
  const sackBytes = blocks === 0 ? 0 : 4 + 8 * blocks;
  return state.sender.next(Math.max(state.sender.mss - sackBytes, 1), nowUs);
}

function resetPacket(
  core: Core,
  packets: PacketBuilder,
  connection: Connection,
  nowUs: number,
): Uint8Array | undefined {
  const { reset } = connection;
  if (reset === undefined) return undefined;
  connection.reset = undefined;
  core.counters.resetsSent += 1;
  const { state } = connection;
  const segment =
    reset.own && state.name !== 'SYN-SENT'
      ? steadySegment(core, connection, state, reset.seq, reset.flags, nowUs)
      : plain(reset.seq, reset.ack, reset.flags);
  return send(core, packets, connection, segment, nowUs);
}

function plain(segmentSeq: Seq, ack: Seq, flags: TcpFlags): Draft {
  return {
    seq: segmentSeq,
    ack,
    flags,
    window: 0,
    urgentPointer: 0,
    options: NO_OPTIONS,
    layout: NO_LAYOUT,
    ring: undefined,
    offset: 0,
    length: 0,
  };
}

function synPacket(
  core: Core,
  packets: PacketBuilder,
  connection: Connection,
  state: SynSent | SynReceived,
  nowUs: number,
): Uint8Array {
  const { profile } = core;
  const { settings, announcedMss } = connection;
  const { syn } = state;
  const repeats = syn.transmissions;
  // Crossing SYNs: ours is sent again as SYN,ACK, which says something new.
  const again = syn.sent(nowUs) && (state.name === 'SYN-SENT' || syn.answered);
  syn.answered ||= state.name === 'SYN-RECEIVED';
  if (again) connection.retransmits.syn += 1;
  const echo = state.name === 'SYN-SENT' ? 0 : state.receiver.tsRecent;
  const offered = synOptions(profile, announcedMss, { value: timestampValue(connection, nowUs), echo });
  let options = stripped(profile, settings.offerOptions, repeats, offered);
  let flags: TcpFlags = SYN;
  if (state.name === 'SYN-RECEIVED') {
    options = answerOptions(options, state.agreement);
    flags |= ACK | (state.agreement.ecn ? ECE : 0);
    state.receiver.acks.sent(state.receiver.nxt, false, nowUs);
  } else {
    syn.askedForEcn = profile.ecn === 'on' && repeats <= profile.ecnSynRetries;
    if (syn.askedForEcn) flags |= ECE | CWR;
  }
  const agreement = state.name === 'SYN-SENT' ? undefined : state.agreement;
  syn.offered ??= synWindow(profile, settings, largestToCome(profile, announcedMss, agreement));
  const segment = plain(syn.iss, state.name === 'SYN-SENT' ? seq(0) : state.receiver.nxt, flags);
  segment.window = syn.offered;
  segment.options = options;
  segment.layout = profile.synLayout;
  return send(core, packets, connection, segment, nowUs, again);
}

/** Options that some middlebox may not like are left out after a while, or when the user says so. */
function stripped(profile: Profile, offers: boolean, repeats: number, options: TcpOptions): TcpOptions {
  if (!offers) return NO_OPTIONS;
  if (profile.synOptionRetries === undefined || repeats <= profile.synOptionRetries) return options;
  return { ...NO_OPTIONS, mss: options.mss };
}

/** A SYN,ACK offers what the SYN offered and nothing else. RFC 7323 2.2, RFC 2018 section 2 */
function answerOptions(options: TcpOptions, agreement: Agreement): TcpOptions {
  return {
    mss: options.mss,
    windowScale: agreement.rcvWindShift,
    sackPermitted: agreement.sack,
    sack: undefined,
    timestamps: agreement.timestamps ? options.timestamps : undefined,
    malformed: false,
  };
}

function keepAlivePacket(
  core: Core,
  packets: PacketBuilder,
  connection: Connection,
  state: SynReceived | SynchronizedState,
  nowUs: number,
): Uint8Array {
  connection.keepAlive.due = false;
  const segment = steadySegment(core, connection, state, seqAdd(sndNxt(state), -1), ACK, nowUs);
  return send(core, packets, connection, segment, nowUs);
}

function dataPacket(
  core: Core,
  packets: PacketBuilder,
  connection: Connection,
  state: SynReceived | SynchronizedState,
  transmission: Transmission | undefined,
  nowUs: number,
): Uint8Array {
  const { receiver } = state;
  const length = transmission?.length ?? 0;
  let flags: TcpFlags = ACK;
  if (transmission?.push) flags |= PSH;
  if (transmission?.fin) flags |= FIN;
  if (hasSender(state) && tellsReduction(core.profile, state.sender, transmission)) {
    flags |= CWR;
    state.sender.loss.reductionTold();
  }
  const segmentSeq = transmission?.seq ?? sndNxt(state);
  const urgentPointer = hasSender(state) ? pointerFrom(segmentSeq, state.sender.up) : 0;
  if (urgentPointer > 0) flags |= URG;
  const segment = steadySegment(core, connection, state, segmentSeq, flags, nowUs);
  segment.urgentPointer = urgentPointer;
  if (length > 0 && hasSender(state)) {
    segment.ring = state.sender.ring;
    segment.offset = seqDiff(segmentSeq, state.sender.una);
    segment.length = length;
  }
  receiver.acks.sent(receiver.nxt, length > 0, nowUs);
  receiver.sackSent();
  const again = transmission?.retransmission ?? false;
  if (again) connection.retransmits[length > 0 ? 'data' : 'fin'] += 1;
  return send(core, packets, connection, segment, nowUs, again, transmission?.markable ? ECN_CAPABLE : 0);
}

/** CWR goes with the next new text (RFC 3168 6.1.2), or with the next of any. */
function tellsReduction(profile: Profile, sender: Sender, transmission: Transmission | undefined): boolean {
  if (!sender.ecn || !sender.loss.reductionToTell || transmission === undefined) return false;
  return transmission.markable || (profile.repeatsTellReduction && transmission.length > 0);
}

/** The pointer counts from the segment's number to the octet after the urgent data (MUST-62); 0: nothing is urgent. */
function pointerFrom(from: Seq, up: Seq | undefined): number {
  return up === undefined || !seqLt(from, up) ? 0 : Math.min(seqDiff(up, from), POINTER_MAX);
}

/** A segment without text that tells the peer where we are. */
function steadySegment(
  core: Core,
  connection: Connection,
  state: SynReceived | SynchronizedState,
  segmentSeq: Seq,
  flags: TcpFlags,
  nowUs: number,
): Draft {
  const { receiver, agreement } = state;
  const segment = plain(segmentSeq, receiver.nxt, flags | (receiver.acks.congestionSeen ? ECE : 0));
  segment.window = receiver.offerWindow();
  segment.options = steadyOptions(connection, agreement, receiver, nowUs);
  segment.layout = core.profile.layout;
  return segment;
}

function sndNxt(state: SynReceived | SynchronizedState): Seq {
  if (state.name === 'SYN-RECEIVED') return state.syn.firstDataSeq;
  // Not beyond the octet of a window probe, which the peer may not have taken.
  return hasSender(state) ? state.sender.nxt : state.sent.nxt;
}

function steadyOptions(
  connection: Connection,
  agreement: Agreement,
  receiver: Receiver,
  nowUs: number,
): TcpOptions {
  const sack = receiver.sackBlocks(sackBlocksMost(agreement));
  if (!agreement.timestamps && sack === undefined) return NO_OPTIONS;
  const timestamps = agreement.timestamps
    ? { value: timestampValue(connection, nowUs), echo: receiver.tsRecent }
    : undefined;
  return { mss: undefined, windowScale: undefined, sackPermitted: false, sack, timestamps, malformed: false };
}

function send(
  core: Core,
  packets: PacketBuilder,
  connection: Connection,
  segment: OutgoingSegment,
  nowUs: number,
  retransmission = false,
  ecn = 0,
): Uint8Array {
  const { length } = segment;
  const { ttl } = connection.settings;
  const trafficClass = (connection.settings.trafficClass & ~ECN_BITS) | ecn;
  core.counters.segmentsOut += 1;
  if (retransmission) core.counters.retransmittedSegments += 1;
  connection.totals.sent(length, retransmission, nowUs);
  if (core.tellsSegments) {
    const { seq: segmentSeq, ack, flags, window, urgentPointer, options } = segment;
    const view: SegmentView = {
      seq: segmentSeq,
      ack,
      flags,
      window,
      urgentPointer,
      options,
      payloadLength: length,
      ttl,
      trafficClass,
      retransmission,
    };
    core.tell({ kind: 'segment', id: connection.id, direction: 'out', atUs: nowUs, segment: view });
  }
  const { local, remote, flowLabel } = connection;
  const dontFragment = core.profile.pathMtuDiscovery;
  return packets.segment({ local, remote, ttl, trafficClass, flowLabel, dontFragment }, segment);
}
