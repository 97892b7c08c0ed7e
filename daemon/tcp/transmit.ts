/** The next packet of a connection, made when it is written, so that what it says of time and windows is true. */

import { seq } from '../wire/seq.ts';
import { ACK, FIN, PSH, SYN, type TcpFlags } from '../wire/tcp-header.ts';
import { NO_OPTIONS, type TcpOptions } from '../wire/tcp-options.ts';
import { type Agreement, synOptions } from './agreement.ts';
import type { Connection } from './connection.ts';
import type { Core } from './core.ts';
import { synWindow } from './establish.ts';
import type { OutgoingSegment, PacketBuilder } from './packets.ts';
import { timestampValue } from './process-segment.ts';
import type { Receiver } from './receiver.ts';
import type { Transmission } from './sender.ts';
import { hasSender, type SynchronizedState, type SynReceived, type SynSent } from './states.ts';

/** With timestamps on, three SACK blocks fit the header. */
const SACK_BLOCKS_MAX = 3;

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
  if (transmission === undefined && state.receiver.ackDuty.kind !== 'now') return undefined;
  return dataPacket(core, packets, connection, state, transmission, nowUs);
}

function nextTransmission(
  state: Extract<SynchronizedState, { readonly sender: unknown }>,
  nowUs: number,
): Transmission | undefined {
  const blocks = state.receiver.sackBlocks(SACK_BLOCKS_MAX)?.length ?? 0;
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
  return send(core, packets, connection, { ...plain(reset.seq, reset.ack, reset.flags) }, false, nowUs);
}

function plain(
  segmentSeq: OutgoingSegment['seq'],
  ack: OutgoingSegment['ack'],
  flags: TcpFlags,
): OutgoingSegment {
  return { seq: segmentSeq, ack, flags, window: 0, options: NO_OPTIONS, layout: [], offset: 0, length: 0 };
}

function synPacket(
  core: Core,
  packets: PacketBuilder,
  connection: Connection,
  state: SynSent | SynReceived,
  nowUs: number,
): Uint8Array {
  const again = state.syn.sent(nowUs);
  if (again) connection.retransmits.syn += 1;
  const { profile } = core;
  const echo = state.name === 'SYN-SENT' ? 0 : state.receiver.tsRecent;
  const timestamps = { value: timestampValue(connection, nowUs), echo };
  let options = synOptions(profile, connection.announcedMss, timestamps);
  if (state.name === 'SYN-RECEIVED') {
    options = answerOptions(options, state.agreement);
    state.receiver.ackSent();
  }
  const segment: OutgoingSegment = {
    ...plain(state.syn.iss, state.name === 'SYN-SENT' ? seq(0) : state.receiver.nxt, SYN),
    flags: state.name === 'SYN-SENT' ? SYN : SYN | ACK,
    window: synWindow(profile),
    options,
    layout: profile.synLayout,
  };
  return send(core, packets, connection, segment, again, nowUs);
}

/** A SYN,ACK offers what the SYN offered and nothing else. RFC 7323 2.2, RFC 2018 section 2 */
function answerOptions(options: TcpOptions, agreement: Agreement): TcpOptions {
  return {
    ...options,
    windowScale: agreement.rcvWindShift,
    sackPermitted: agreement.sack,
    timestamps: agreement.timestamps ? options.timestamps : undefined,
  };
}

function dataPacket(
  core: Core,
  packets: PacketBuilder,
  connection: Connection,
  state: SynReceived | SynchronizedState,
  transmission: Transmission | undefined,
  nowUs: number,
): Uint8Array {
  const { receiver, agreement } = state;
  const segment: OutgoingSegment = {
    seq: transmission?.seq ?? sndNxt(state),
    ack: receiver.nxt,
    flags: ACK | (transmission?.push ? PSH : 0) | (transmission?.fin ? FIN : 0),
    window: receiver.offerWindow(),
    options: steadyOptions(connection, agreement, receiver, nowUs),
    layout: core.profile.layout,
    ...('sender' in state ? { ring: state.sender.ring } : {}),
    offset: transmission !== undefined && 'sender' in state ? transmission.seq - state.sender.una : 0,
    length: transmission?.length ?? 0,
  };
  receiver.ackSent();
  const again = transmission?.retransmission ?? false;
  if (again) connection.retransmits[segment.length > 0 ? 'data' : 'fin'] += 1;
  return send(core, packets, connection, segment, again, nowUs);
}

function sndNxt(state: SynReceived | SynchronizedState): OutgoingSegment['seq'] {
  if (state.name === 'SYN-RECEIVED') return state.syn.firstDataSeq;
  return hasSender(state) ? state.sender.max : state.sent.nxt;
}

function steadyOptions(
  connection: Connection,
  agreement: Agreement,
  receiver: Receiver,
  nowUs: number,
): TcpOptions {
  const sack = receiver.sackBlocks(SACK_BLOCKS_MAX);
  if (!agreement.timestamps && sack === undefined) return NO_OPTIONS;
  const timestamps = agreement.timestamps
    ? { value: timestampValue(connection, nowUs), echo: receiver.tsRecent }
    : undefined;
  return { ...NO_OPTIONS, sack, timestamps };
}

function send(
  core: Core,
  packets: PacketBuilder,
  connection: Connection,
  segment: OutgoingSegment,
  retransmission: boolean,
  nowUs: number,
): Uint8Array {
  core.counters.segmentsOut += 1;
  if (retransmission) core.counters.retransmittedSegments += 1;
  core.tell({
    kind: 'segment',
    id: connection.id,
    direction: 'out',
    atUs: nowUs,
    segment: {
      seq: segment.seq,
      ack: segment.ack,
      flags: segment.flags,
      window: segment.window,
      options: segment.options,
      payloadLength: segment.length,
      ttl: connection.ttl,
      retransmission,
    },
  });
  return packets.segment(connection, segment);
}
