/** What must hold of the engine after whatever came. */

import * as assert from 'uvu/assert';
import { type Flight, Scoreboard } from '../../daemon/tcp/scoreboard.ts';
import type { StackCounters, TcpInfo, TcpStack } from '../../daemon/tcp/types.ts';
import { checksumAdd, checksumFinish, pseudoHeaderSum } from '../../daemon/wire/checksum.ts';
import { decodeIp, PROTOCOL_TCP } from '../../daemon/wire/ip.ts';
import { type Seq, seqDiff } from '../../daemon/wire/seq.ts';
import { ACK, decodeTcpHeader, RST, SYN, type TcpHeader } from '../../daemon/wire/tcp-header.ts';
import { decodeTcpOptions } from '../../daemon/wire/tcp-options.ts';
import { octetAt } from './packets.ts';

/** What a run was made with. */
export interface Bounds {
  readonly connections: number;
  readonly mtu: number;
  readonly sendBufferBytes: number;
  readonly receiveBufferBytes: number;
}

/** A window, and holes, can be a little beyond the buffer they were cut from: docs of receive-window.ts. */
const RECEIVE_SLACK = 1.5;
/** Rings grow in powers of two. */
const RING_SLACK = 2;
const ANSWERS_MAX = 1024;

// The scoreboards of a run, as they come into use: nothing else of the engine has to be opened to count again.
let boards = new Set<Scoreboard>();
const { push } = Scoreboard.prototype;
Scoreboard.prototype.push = function (this: Scoreboard, ...args: Parameters<typeof push>) {
  boards.add(this);
  push.apply(this, args);
};

/** A new run begins: scoreboards of the last one are forgotten. */
export function forgetBoards(): void {
  boards = new Set();
}

/** Segments, ICMP messages, echo requests and all drops: everything that comes in is one of these at least. */
export function countedInputs(counters: Readonly<StackCounters>): number {
  const { segmentsIn, icmpErrorsIn, echoRepliesSent, dropped } = counters;
  let sum = segmentsIn + icmpErrorsIn + echoRepliesSent;
  for (const reason in dropped) sum += dropped[reason] as number;
  return sum;
}

export function checkStack(stack: TcpStack, nowUs: number, bounds: Bounds): void {
  assert.ok(stack.nextDeadlineUs() > nowUs, 'what was due is done');
  const { connections, bufferBytes, timers, queuedReplies } = stack.usage();
  assert.ok(connections <= bounds.connections, `${connections} connections`);
  assert.ok(timers <= connections, `${timers} timers of ${connections} connections`);
  const rings = RING_SLACK * (bounds.sendBufferBytes + RECEIVE_SLACK * bounds.receiveBufferBytes) + 8192;
  assert.ok(bufferBytes <= connections * rings, `${bufferBytes} bytes are held`);
  assert.ok(queuedReplies <= ANSWERS_MAX, `${queuedReplies} answers wait`);
  for (const board of boards) recount(board);
}

/** Pipe and counts of a scoreboard are what its segments add up to, and these lie one after the other. */
function recount(board: Scoreboard): void {
  let pipe = 0;
  let sacked = 0;
  let sackedOctets = 0;
  let lost = 0;
  let segments = 0;
  let before: Flight | undefined;
  for (const flight of board) {
    const octets = seqDiff(flight.end, flight.seq);
    assert.ok(octets > 0, 'a segment in flight takes numbers');
    if (before !== undefined) assert.is(flight.seq, before.end, 'segments in flight follow each other');
    segments += 1;
    before = flight;
    if (flight.sacked) {
      sacked += 1;
      sackedOctets += octets;
      continue;
    }
    if (flight.lost && !flight.resent) lost += 1;
    pipe += (flight.lost ? 0 : octets) + (flight.resent ? octets : 0);
  }
  assert.is(board.pipe, pipe, 'pipe');
  assert.is(board.length, segments, 'segments in flight');
  assert.is(board.sackedSegments, sacked, 'sacked');
  assert.is(board.sackedOctets, sackedOctets, 'sacked octets');
  assert.is(board.lostSegments, lost, 'lost');
}

export function checkConnection(info: TcpInfo, bounds: Bounds): void {
  const { unsentBytes, unackedBytes, unreadBytes, rtoUs, cwnd, rcvWnd, pipe } = info;
  const flight = seqDiff(info.sndNxt, info.sndUna);
  assert.ok(flight >= 0, 'SND.UNA is not beyond SND.NXT');
  assert.ok(flight <= bounds.sendBufferBytes + 2, `${flight} octets are in flight`);
  assert.ok(rcvWnd >= 0 && rcvWnd <= RECEIVE_SLACK * bounds.receiveBufferBytes + 65_535, `RCV.WND ${rcvWnd}`);
  assert.ok(
    unreadBytes <= RECEIVE_SLACK * bounds.receiveBufferBytes + 65_535,
    `${unreadBytes} octets are unread`,
  );
  assert.ok(unsentBytes >= 0 && unackedBytes >= 0, 'no count is negative');
  assert.ok(
    unsentBytes + unackedBytes <= bounds.sendBufferBytes,
    `${unsentBytes + unackedBytes} octets are queued`,
  );
  assert.ok(rtoUs >= 30_000 && rtoUs <= 120_200_000, `RTO ${rtoUs}`);
  assert.ok(cwnd === undefined || (cwnd > 0 && Number.isFinite(cwnd)), `cwnd ${cwnd}`);
  assert.ok(pipe >= 0, `pipe ${pipe}`);
}

/** A packet of the engine, read. */
export interface Emitted extends TcpHeader {
  readonly length: number;
  readonly tsValue: number | undefined;
  readonly to: Uint8Array;
}

/** A packet the engine sends is whole, and no larger than its link; undefined when it is no segment. */
export function checkPacket(packet: Uint8Array, bounds: Bounds): Emitted | undefined {
  const ip = decodeIp(packet);
  if (!ip.ok) throw new Error(`a packet that is none: ${ip.reason}`);
  const { family, source, destination, payload: start, end, protocol } = ip.value;
  assert.is(end, packet.length, 'the packet has the length it says');
  if (protocol !== PROTOCOL_TCP) return undefined;
  assert.ok(packet.length <= bounds.mtu, `a packet of ${packet.length} bytes`);
  const header = decodeTcpHeader(packet, start, end);
  if (!header.ok) throw new Error(`a segment that is none: ${header.reason}`);
  const pseudo = pseudoHeaderSum(packet, source, family === 4 ? 8 : 32, PROTOCOL_TCP, end - start);
  assert.is(checksumFinish(checksumAdd(pseudo, packet, start, end)), 0, 'MUST-2: the checksum is right');
  const options = decodeTcpOptions(packet, header.value.options, header.value.payload);
  assert.not.ok(options.malformed, 'its options can be read');
  const to = packet.subarray(destination, destination + (family === 4 ? 4 : 16));
  return { ...header.value, length: end - header.value.payload, tsValue: options.timestamps?.value, to };
}

/** Text is what belongs to its numbers, whatever way it went. */
export function checkOctets(text: Uint8Array, first: number, what: string): void {
  for (let n = 0; n < text.length; n += 1) {
    if (text[n] !== octetAt(first + n))
      throw new Error(`octet ${n} of ${text.length} that were ${what} is another`);
  }
}

/** The right edge of the window a connection offers: RFC 9293 3.8.6 (SHLD-14), RFC 7323 2.4. */
export class WindowEdge {
  #edge: Seq | undefined;

  sent({ flags, ack, window }: Emitted, shift: number): void {
    if ((flags & (RST | SYN)) !== 0 || (flags & ACK) === 0) return;
    const edge = ((ack + window * 2 ** shift) >>> 0) as Seq;
    const back = this.#edge === undefined ? 0 : seqDiff(this.#edge, edge);
    // Rounding down to the scale may take back less than a step of it.
    assert.ok(back < 2 ** shift, `the window shrinks by ${back}`);
    if (back < 0 || this.#edge === undefined) this.#edge = edge;
  }
}
