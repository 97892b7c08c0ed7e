/**
 * Netlink messages that a seed decides: those that a real kernel sent (netlink-corpus.json), cut, lengthened and changed.
 * None may make a decoder throw, and what it makes of one is no larger than the message.
 */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { decodeCpuStats } from '../../daemon/netlink/conntrack-stats.ts';
import { decodeFlow } from '../../daemon/netlink/ctnetlink.ts';
import { DiagRecord } from '../../daemon/netlink/diag-record.ts';
import {
  decodeAttributes,
  decodeErrno,
  decodeExtendedError,
  decodeMessages,
  viewOf,
} from '../../daemon/netlink/message.ts';
import { decodeChain, decodeTable } from '../../daemon/netlink/nftables.ts';
import { decodeLink, decodeRoute } from '../../daemon/netlink/rtnetlink.ts';
import { concernsLink } from '../../daemon/netlink/rtnetlink-events.ts';
import { SeededRandom } from '../../daemon/netsim/random.ts';

type Kind = 'flow' | 'statistics' | 'socket' | 'link' | 'address' | 'route' | 'table' | 'chain';
type Decoder = (payload: Uint8Array) => unknown;

const DECODERS: Readonly<Record<Kind, readonly Decoder[]>> = {
  flow: [decodeFlow],
  statistics: [decodeCpuStats],
  socket: [readSocket],
  link: [decodeLink, eventOf(16)],
  address: [eventOf(20)],
  route: [decodeRoute, eventOf(24)],
  table: [decodeTable],
  chain: [decodeChain],
};
const KINDS = Object.keys(DECODERS) as Kind[];
const ALL_DECODERS = Object.values(DECODERS).flat();
const CORPUS = Object.entries(
  JSON.parse(readFileSync(join(import.meta.dirname, 'netlink-corpus.json'), 'utf8')) as Record<
    Kind,
    string[]
  >,
).flatMap(([kind, messages]) =>
  messages.map((hex) => ({ kind: kind as Kind, payload: new Uint8Array(Buffer.from(hex, 'hex')) })),
);
if (KINDS.some((kind) => CORPUS.every((message) => message.kind !== kind)))
  throw new Error('no such message');

/** Where a message is changed; a large one is cut, so that changes meet what is read. */
const scratch = new Uint8Array(1 << 14);
const HEADER = 16;
/** Lengths and types are where a decoder stumbles: extreme values more often than any others. */
const EXTREMES = [0, 1, 3, 4, 5, 8, 0x7f, 0x80, 0xff];
/** What is looked into closely: it takes longer than decoding does. */
const LOOKED_INTO = 16;

/** Shows the decoders `inputs` messages. Throws, with the message, when one of them fails. */
export function playNetlink(seed: number, inputs: number): void {
  const random = new SeededRandom(seed);
  for (let input = 0; input < inputs; input += 1) {
    const { kind, payload } = CORPUS[random.below(CORPUS.length)] as (typeof CORPUS)[number];
    const message = changed(payload, random);
    try {
      if (random.chance(0.2)) decodeDatagram(message, random);
      else {
        const decoders = random.chance(0.1) ? ALL_DECODERS : DECODERS[kind];
        for (const decode of decoders) isDecent(decode(message), message, input % LOOKED_INTO === 0);
      }
    } catch (error) {
      const what = error instanceof Error ? error.message : error;
      throw new Error(`${what}: ${kind} ${Buffer.from(message).toString('hex')}`, { cause: error });
    }
  }
}

/** A view of `scratch`, which the next call overwrites. */
function changed(payload: Uint8Array, random: SeededRandom): Uint8Array {
  scratch.set(payload);
  let length = payload.length;
  if (random.chance(0.05)) {
    length = random.below(200);
    for (let at = 0; at < length; at += 1) scratch[at] = random.below(256);
  }
  if (random.chance(0.2)) length = random.below(length + 1);
  if (random.chance(0.05)) {
    const more = random.below(64);
    scratch.copyWithin(length, 0, more);
    length += more;
  }
  for (let changes = random.below(6); changes > 0 && length > 0; changes -= 1) {
    // The beginning is where headers and first attributes lie.
    const at = random.below(random.chance(0.5) ? length : Math.min(length, 100));
    const extreme = EXTREMES[random.below(EXTREMES.length)] ?? 0;
    scratch[at] = random.chance(0.5) ? extreme : random.below(256);
  }
  return scratch.subarray(0, length);
}

/** As a datagram: the message itself, whose first bytes are taken for a header. */
function decodeDatagram(datagram: Uint8Array, random: SeededRandom): void {
  if (datagram.length >= HEADER && random.chance(0.7)) {
    const view = new DataView(datagram.buffer, datagram.byteOffset);
    const length = random.chance(0.5) ? datagram.length : HEADER + random.below(datagram.length);
    view.setUint32(0, length, true);
    view.setUint16(4, random.below(4), true);
    view.setUint16(6, random.below(0x400), true);
  }
  const messages = decodeMessages(datagram);
  if (!messages.ok) return;
  assert.ok(messages.value.length <= datagram.length / HEADER);
  for (const message of messages.value) {
    assert.ok(Number.isInteger(decodeErrno(message.payload)));
    const words = decodeExtendedError(message);
    // A byte that is no UTF-8 is shown as U+FFFD.
    assert.ok(words === undefined || words.length <= message.payload.length);
    const from = random.below(24);
    const attributes = decodeAttributes(message.payload, from);
    assert.is(attributes.ok ? attributes.value.length : -1, attributesIn(message.payload, from));
  }
}

/** How many attributes there are; -1 when one is shorter than its header or longer than what is left. */
function attributesIn(payload: Uint8Array, from: number): number {
  let count = 0;
  let left = payload.length - from;
  for (let length = 0; left >= 4; left -= Math.ceil(length / 4) * 4) {
    const at = payload.length - left;
    length = (payload[at] ?? 0) + 256 * (payload[at + 1] ?? 0);
    if (length < 4 || length > left) return -1;
    count += 1;
  }
  return count;
}

const socket = new DiagRecord();

function readSocket(payload: Uint8Array): unknown {
  const reason = socket.read(viewOf(payload), 0, payload.length);
  if (reason !== undefined) return { ok: false, reason };
  const words = Array.from({ length: 18 }, (_, index) => socket.word(index));
  const { family, state, timer, retransmits, shutdown, v6Only, bindAddressNoPort, cgroupId } = socket;
  const { spokenFamily, localPort, remotePort, hasInfo } = socket;
  const times = hasInfo ? [socket.lastDataSentMs, socket.lastDataReceivedMs, socket.lastAckReceivedMs] : [];
  const own = { family, state, timer, retransmits, shutdown, v6Only, bindAddressNoPort, cgroupId };
  const value = { ...own, spokenFamily, localPort, remotePort, words, times, details: socket.details() };
  return { ok: true, value };
}

function eventOf(type: number): Decoder {
  return (payload) => concernsLink({ type, flags: 0, seq: 0, portId: 0, payload }, 1);
}

/** A refusal has a reason; a value holds numbers that are numbers, and nothing that is larger than the message. */
function isDecent(result: unknown, message: Uint8Array, closely: boolean): void {
  if (typeof result !== 'object' || result === null || !('ok' in result)) return;
  if (result.ok === false) assert.ok('reason' in result && `${result.reason}`.length > 0);
  else if (closely && 'value' in result) holds(result.value, message);
}

function holds(value: unknown, message: Uint8Array): void {
  if (typeof value === 'number') assert.ok(Number.isFinite(value));
  else if (typeof value === 'string') assert.ok(value.length <= Math.max(20, message.length));
  else if (value instanceof Uint8Array) assert.ok(value.length <= Math.max(16, message.length));
  else if (typeof value === 'object' && value !== null) {
    const fields = Object.values(value);
    assert.ok(fields.length <= 200 + message.length);
    for (const field of fields) holds(field, message);
  }
}
