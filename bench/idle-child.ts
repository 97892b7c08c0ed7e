/** Holds connections and says what memory they take: `idle-child.ts engine|engine-used|node COUNT`, with --expose-gc. */

import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TcpStack } from '../daemon/tcp/types.ts';
import { readU32 } from '../daemon/wire/bytes.ts';
import { ACK, PSH, SYN } from '../daemon/wire/tcp-header.ts';
import { granted, newStack, nowUs } from './engine-on-tun.ts';
import { segmentOf } from './packets.ts';

const PORT = 80;
const SEQUENCE = 1000;
const REQUEST = new TextEncoder().encode('GET / HTTP/1.1\r\nHost: a.example\r\n\r\n');
const ANSWER = new Uint8Array(1000);
/** Delayed acknowledgements and other short timers are over after that. */
const SETTLE_US = 5e6;

interface Memory {
  readonly heap: number;
  readonly resident: number;
}

/** After a collection; the second one takes what finalizers have let go. */
async function memory(): Promise<Memory> {
  for (let n = 0; n < 3; n += 1) {
    globalThis.gc?.();
    await sleep(20);
  }
  const { heapUsed, external, rss } = process.memoryUsage();
  return { heap: heapUsed + external, resident: rss };
}

/** A handshake of each peer, and with `used` a request, its answer, and the acknowledgement of that. */
function openAll(stack: TcpStack, count: number, used: boolean): void {
  for (let number = 0; number < count; number += 1) {
    const peer = { host: number >>> 14, port: 1024 + (number & 0x3fff), to: PORT };
    stack.input(segmentOf(peer, { flags: SYN, seq: SEQUENCE }), nowUs());
    const synAck = stack.next(nowUs());
    if (synAck === undefined) throw new Error('the SYN was not answered');
    const ack = (readU32(synAck, 24) + 1) >>> 0;
    stack.input(segmentOf(peer, { flags: ACK, seq: SEQUENCE + 1, ack }), nowUs());
    const accepted = stack.events().find((event) => event.kind === 'accepted');
    if (accepted === undefined) throw new Error('no connection is to be accepted');
    const id = granted(stack.accept(accepted.listener));
    if (!used || id === undefined) continue;
    const request = { flags: ACK | PSH, seq: SEQUENCE + 1, ack };
    stack.input(segmentOf(peer, request, REQUEST), nowUs());
    if (granted(stack.receive(id, 4096, nowUs())).data.length !== REQUEST.length)
      throw new Error('no request');
    granted(stack.send(id, ANSWER, nowUs()));
    while (stack.next(nowUs()) !== undefined);
    const after = { flags: ACK, seq: SEQUENCE + 1 + REQUEST.length, ack: (ack + ANSWER.length) >>> 0 };
    stack.input(segmentOf(peer, after), nowUs());
    stack.events();
  }
}

async function engine(count: number, used: boolean) {
  const warm = newStack(count);
  granted(warm.listen({ port: PORT }, count));
  openAll(warm, Math.min(count, 500), used);
  const stack = newStack(count);
  granted(stack.listen({ port: PORT }, count));
  const before = await memory();
  openAll(stack, count, used);
  stack.advance(nowUs() + SETTLE_US);
  while (stack.next(nowUs() + SETTLE_US) !== undefined);
  stack.events();
  const after = await memory();
  const { connections } = stack.usage();
  if (connections !== count) throw new Error(`${connections} of ${count} connections are held`);
  return { before, after };
}

async function node(count: number) {
  const held: Socket[] = [];
  const server = createServer((socket) => {
    held.push(socket);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const before = await memory();
  for (let number = 0; number < count / 2; number += 1) {
    const socket = connect(port, '127.0.0.1');
    held.push(socket);
    await once(socket, 'connect');
  }
  while (held.length < count) await sleep(10);
  return { before, after: await memory() };
}

const [what, text] = process.argv.slice(2);
const count = Number(text);
const { before, after } = what === 'node' ? await node(count) : await engine(count, what === 'engine-used');
const bytes = (after.heap - before.heap) / count;
const residentBytes = (after.resident - before.resident) / count;
console.log(JSON.stringify({ connections: count, bytes, residentBytes }));
process.exit();
