/**
 * Makes the engine's code hot before it measures anything: the first runs of a JavaScript function take many times
 * what later ones take, and the first probe's times would tell of that and not of the network.
 */

import { DEFAULT_PROBE_LIMITS } from '#contract';
import { createStack } from '../tcp/stack.ts';
import type { TcpStack } from '../tcp/types.ts';
import { ipFromBytes } from '../wire/address.ts';
import { EngineLoop } from './engine-loop.ts';

const MTU = 1500;
const PORT = 7;
const PROBES = 40;
const TURNS_MAX = 30;

/** Probes a stack of its own in memory, both address families, with and without a request. Some 20 ms. */
export function warmUp(nowUs: () => number, random: (length: number) => Uint8Array): void {
  const own = [ipFromBytes(new Uint8Array([198, 18, 0, 1])), ipFromBytes(v6(1))];
  const others = [ipFromBytes(new Uint8Array([198, 18, 0, 2])), ipFromBytes(v6(2))];
  const peer = createStack({ addresses: others, mtu: MTU, random });
  peer.listen({ port: PORT }, PROBES);
  const arriving: Uint8Array[] = [];
  const loop = new EngineLoop({
    device: {
      device: 'warm-up',
      look: () => ({ kind: 'intact' }),
      read(into) {
        const packet = arriving.shift();
        into.set(packet ?? []);
        return packet?.length ?? 0;
      },
      write(packet) {
        peer.input(packet, nowUs());
        answer(peer, arriving, nowUs);
        return packet.length;
      },
      way: () => ({ kind: 'local' }),
    },
    stack: createStack({ addresses: own, mtu: MTU, random }),
    nowUs,
    unixUs: (us) => us,
    deviceDrops: () => 0,
  });
  for (let n = 0; n < PROBES; n++) {
    const address = others[n & 1];
    if (address === undefined) return;
    loop.start({ id: String(n), target: { ...TARGET, ...((n & 2) === 0 ? {} : { send: 'warm' }) }, address });
    for (let turns = 0; turns < TURNS_MAX && loop.turn(nowUs()).length === 0; turns++);
  }
}

const TARGET = {
  name: 'warm-up',
  host: 'warm-up',
  port: PORT,
  origin: 'user',
  intervalMs: 1000,
  limits: DEFAULT_PROBE_LIMITS,
} as const;

/** The peer's program: echoes, and closes when we have closed. */
function answer(peer: TcpStack, arriving: Uint8Array[], nowUs: () => number): void {
  for (const event of peer.events()) {
    if (event.kind !== 'readable') continue;
    const read = peer.receive(event.id, MTU, nowUs());
    if (read.ok && read.value.data.length > 0) peer.send(event.id, read.value.data, nowUs());
    if (read.ok && read.value.eof) peer.shutdown(event.id, nowUs());
  }
  for (let packet = peer.next(nowUs()); packet !== undefined; packet = peer.next(nowUs())) {
    arriving.push(packet.slice());
  }
}

function v6(last: number): Uint8Array {
  const bytes = new Uint8Array(16);
  bytes.set([0xfd]);
  bytes[15] = last;
  return bytes;
}
