/**
 * A flood without a device: `flood-memory.ts FLOOD_PER_SECOND GOOD_PER_SECOND SECONDS` hands the engine SYNs by the
 * clock, and has good peers answer what it sends them. What is due and not yet taken waits, as in a device's queue;
 * what the queue has no room for is lost.
 */

import { BATCH_PACKETS, SENT_UNDER_LOAD } from '../daemon/threads/engine-loop.ts';
import { readU16, readU32 } from '../daemon/wire/bytes.ts';
import { ACK, SYN } from '../daemon/wire/tcp-header.ts';
import { granted, newStack, nowUs } from './engine-on-tun.ts';
import { HEAD_START_MS, type MemoryResult } from './flood.ts';
import { disguise, segmentOf } from './packets.ts';

const [floodPerSecond, goodPerSecond, seconds] = process.argv.slice(2).map(Number) as [
  number,
  number,
  number,
];
const PORT = 80;
const BACKLOG = 4096;
const QUEUE_PACKETS = 10_000;
const IN_TIME_US = 1e6;
/** Good peers are of 10.255.0.0/16, where no made-up source is. */
const GOOD_HOSTS = 0xff_0000;
const FLOOD_HOSTS = 0xf0_0000;
const SEQUENCE = 1000;

const stack = newStack(200_000);
granted(stack.listen({ port: PORT }, BACKLOG));
const spoofed = segmentOf({ host: 1, port: 1, to: PORT }, { flags: SYN, seq: 0 });
const startedAt = new Map<number, number>();
const delaysUs: number[] = [];
const answers: Uint8Array[] = [];
let flooded = 0;
let lost = 0;
let dueBefore = 0;
let good = 0;
let idleUs = 0;
let random = 0x2545f491;

function draw(): number {
  random ^= random << 13;
  random ^= random >>> 17;
  random ^= random << 5;
  return random >>> 0;
}

/** Answers which share of what came since the last time the queue had no room for. */
function takeFlood(elapsedUs: number): number {
  const due = (elapsedUs * floodPerSecond) / 1e6;
  const before = lost;
  lost = Math.max(lost, Math.floor(due) - flooded - QUEUE_PACKETS);
  const share = (lost - before) / Math.max(due - dueBefore, 1);
  dueBefore = due;
  for (let n = 0; n < BATCH_PACKETS && flooded + lost < due; n += 1) {
    disguise(spoofed, draw() % FLOOD_HOSTS, 1024 + (draw() % 60_000), draw());
    stack.input(spoofed, nowUs());
    flooded += 1;
  }
  return share;
}

/** A SYN that the queue has no room for is lost like those around it. */
function beginGood(elapsedUs: number, lostShare: number): void {
  for (; good < ((elapsedUs - HEAD_START_MS * 1000) * goodPerSecond) / 1e6; good += 1) {
    const room = draw() / 2 ** 32 >= lostShare;
    startedAt.set(good, nowUs());
    if (room) stack.input(segmentOf(peer(good), { flags: SYN, seq: SEQUENCE }), nowUs());
  }
}

function peer(number: number) {
  return { host: GOOD_HOSTS + (number >>> 15), port: 1024 + (number & 0x7fff), to: PORT };
}

function send(room: number): void {
  for (let sent = 0; sent < room; sent += 1) {
    const packet = stack.next(nowUs());
    if (packet === undefined) return;
    const host = readU32(packet, 16) & 0xff_ffff;
    if (host < GOOD_HOSTS || packet[33] !== (SYN | ACK)) continue;
    const number = ((host - GOOD_HOSTS) << 15) | (readU16(packet, 22) - 1024);
    const ack = readU32(packet, 24) + 1;
    answers.push(segmentOf(peer(number), { flags: ACK, seq: SEQUENCE + 1, ack: ack >>> 0 }));
  }
}

function takeEvents(): void {
  for (const event of stack.events()) {
    if (event.kind !== 'accepted') continue;
    const taken = granted(stack.accept(event.listener));
    if (taken === undefined) continue;
    const remote = stack.info(taken)?.remote;
    if (remote === undefined) continue;
    const number = ((readU32(remote.address.bytes, 0) & 0xffff) << 15) | (remote.port - 1024);
    delaysUs.push(nowUs() - (startedAt.get(number) ?? 0));
    stack.abort(taken, nowUs());
  }
}

const floodUs = seconds * 1e6 + HEAD_START_MS * 1000;
const startedUs = nowUs();
for (let elapsedUs = 0; elapsedUs < floodUs + IN_TIME_US; elapsedUs = nowUs() - startedUs) {
  const before = flooded;
  for (const answer of answers.splice(0)) stack.input(answer, nowUs());
  if (elapsedUs < floodUs) {
    const lostShare = takeFlood(elapsedUs);
    beginGood(elapsedUs, lostShare);
  }
  stack.advance(nowUs());
  const room = flooded - before < BATCH_PACKETS ? Number.POSITIVE_INFINITY : SENT_UNDER_LOAD;
  send(room);
  takeEvents();
  send(room);
  if (flooded === before && answers.length === 0) idleUs += nowUs() - startedUs - elapsedUs;
}
const inTime = delaysUs.filter((us) => us <= IN_TIME_US).toSorted((a, b) => a - b);
const result: MemoryResult = {
  flooded,
  good,
  goodInTime: inTime.length,
  seconds: floodUs / 1e6,
  busy: Math.max(0, 1 - (idleUs - IN_TIME_US) / floodUs),
  p99Ms: (inTime[Math.floor(inTime.length * 0.99)] ?? 0) / 1000,
  cookies: stack.counters.synCookiesSent,
  connections: stack.usage().connections,
};
console.log(JSON.stringify(result));
