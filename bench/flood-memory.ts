/**
 * A flood without a device: `flood-memory.ts FLOOD_PER_SECOND GOOD_PER_SECOND SECONDS` hands the engine SYNs by the
 * clock, and has good peers answer what it sends them. What is due and not yet taken waits, as in a device's queue;
 * what the queue has no room for is lost.
 */

import { readU16, readU32 } from '../daemon/wire/bytes.ts';
import { ACK, SYN } from '../daemon/wire/tcp-header.ts';
import { granted, newStack, nowUs } from './engine-on-tun.ts';
import type { MemoryResult } from './flood.ts';
import { disguise, segmentOf } from './packets.ts';

const [floodPerSecond, goodPerSecond, seconds] = process.argv.slice(2).map(Number) as [
  number,
  number,
  number,
];
const PORT = 80;
const BACKLOG = 4096;
const BATCH_PACKETS = 256;
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
let good = 0;
let idleUs = 0;
let random = 0x2545f491;

function draw(): number {
  random ^= random << 13;
  random ^= random >>> 17;
  random ^= random << 5;
  return random >>> 0;
}

function takeFlood(elapsedUs: number): void {
  const due = (elapsedUs * floodPerSecond) / 1e6;
  lost = Math.max(lost, Math.floor(due) - flooded - QUEUE_PACKETS);
  for (let n = 0; n < BATCH_PACKETS && flooded + lost < due; n += 1) {
    disguise(spoofed, draw() % FLOOD_HOSTS, 1024 + (draw() % 60_000), draw());
    stack.input(spoofed, nowUs());
    flooded += 1;
  }
}

function beginGood(elapsedUs: number): void {
  for (; good < (elapsedUs * goodPerSecond) / 1e6; good += 1) {
    // A SYN that the queue has no room for is lost like those around it.
    const room = lost === 0 || draw() % (flooded + lost) >= lost;
    startedAt.set(good, nowUs());
    if (room) stack.input(segmentOf(peer(good), { flags: SYN, seq: SEQUENCE }), nowUs());
  }
}

function peer(number: number) {
  return { host: GOOD_HOSTS + (number >>> 15), port: 1024 + (number & 0x7fff), to: PORT };
}

function sendAll(): void {
  for (let packet = stack.next(nowUs()); packet !== undefined; packet = stack.next(nowUs())) {
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

const startedUs = nowUs();
for (let elapsedUs = 0; elapsedUs < seconds * 1e6 + IN_TIME_US; elapsedUs = nowUs() - startedUs) {
  const before = flooded;
  for (const answer of answers.splice(0)) stack.input(answer, nowUs());
  if (elapsedUs < seconds * 1e6) {
    takeFlood(elapsedUs);
    beginGood(elapsedUs);
  }
  stack.advance(nowUs());
  sendAll();
  takeEvents();
  sendAll();
  if (flooded === before && answers.length === 0) idleUs += nowUs() - startedUs - elapsedUs;
}
const inTime = delaysUs.filter((us) => us <= IN_TIME_US).toSorted((a, b) => a - b);
const result: MemoryResult = {
  flooded,
  good,
  goodInTime: inTime.length,
  seconds,
  busy: Math.max(0, 1 - (idleUs - IN_TIME_US) / (seconds * 1e6)),
  p99Ms: (inTime[Math.floor(inTime.length * 0.99)] ?? 0) / 1000,
  cookies: stack.counters.synCookiesSent,
  connections: stack.usage().connections,
};
console.log(JSON.stringify(result));
