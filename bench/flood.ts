/**
 * 200,000 SYNs a second from made-up addresses at a listener of the engine, while good clients go on: over a TUN
 * device with the kernel's TCP as the good client, and with packets made in memory.
 */

import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Figure, Outcome, Size } from './figures.ts';
import { profiled, startEngine } from './measured-engine.ts';
import { ENGINE, PORT } from './network.ts';
import { linesOf } from './profile.ts';
import { compiled, MEASURED_CORE, PEER_CORE, start } from './programs.ts';

const FLOOD_PER_SECOND = 200_000;
const GOOD_PER_SECOND = 500;
/** A good handshake is in time when its first SYN is enough: the next would be sent after a second. */
const IN_TIME_MS = 1000;
/** The flood comes first: what is measured is a server that is under one, not one that has just been started. */
export const HEAD_START_MS = 1000;
const AT_ONCE = 4000;
const SECONDS = { tiny: 0.4, full: 10 } as const;
const PROFILED_SECONDS = 4;
const MEMORY_CHILD = join(import.meta.dirname, 'flood-memory.ts');

export interface MemoryResult {
  readonly flooded: number;
  readonly good: number;
  readonly goodInTime: number;
  readonly seconds: number;
  readonly busy: number;
  readonly p99Ms: number;
  readonly cookies: number;
  readonly connections: number;
}

interface Flooded {
  readonly share: number;
  readonly perSecond: number;
  readonly notes: readonly string[];
}

export async function flood(size: Size): Promise<Outcome> {
  const seconds = SECONDS[size];
  const calm = await overTun(seconds, 0);
  const flooded = await overTun(seconds, FLOOD_PER_SECOND);
  const summary = await profiled((profile) =>
    overTun(Math.min(seconds, PROFILED_SECONDS), FLOOD_PER_SECOND, profile),
  );
  const memory = await inMemory(seconds);
  const figure = (way: string, { share }: Flooded): Figure => ({
    what: `good handshakes in time under ${FLOOD_PER_SECOND.toLocaleString('en')} spoofed SYN/s, ${way}`,
    ours: share * 100,
    unit: '%',
    goal: { least: 99 },
  });
  return {
    figures: [figure('packets made in memory', memory), figure('over TUN', flooded)],
    notes: [
      ...memory.notes.map((note) => `in memory: ${note}`),
      ...flooded.notes.map((note) => `over TUN: ${note}`),
      ...linesOf(summary).map((line) => `over TUN: ${line}`),
      ...calm.notes.map((note) => `over TUN without a flood: ${note}`),
    ],
  };
}

async function inMemory(seconds: number): Promise<Flooded> {
  const args = [MEMORY_CHILD, String(FLOOD_PER_SECOND), String(GOOD_PER_SECOND), String(seconds)];
  await using child = start(MEASURED_CORE, process.execPath, args);
  const result = JSON.parse(await child.line()) as MemoryResult;
  await child.ended;
  return {
    share: result.goodInTime / result.good,
    perSecond: result.flooded / result.seconds,
    notes: [
      `${Math.round(result.flooded / result.seconds)} SYN/s taken, ${result.goodInTime} of ${result.good} good handshakes in time (99 % within ${result.p99Ms.toFixed(1)} ms), ${Math.round(result.busy * 100)} % of the core busy, ${result.cookies} cookies sent, ${result.connections} connections kept at the end`,
    ],
  };
}

async function overTun(seconds: number, perSecond: number, profile?: string): Promise<Flooded> {
  const floodSeconds = HEAD_START_MS / 1000 + seconds + 1;
  const lasts = floodSeconds + 2 * (IN_TIME_MS / 1000);
  await using engine = await startEngine('serve', { seconds: lasts, profile });
  engine.tell('go');
  const floods = perSecond > 0;
  const flooder = floods
    ? start(PEER_CORE, compiled('flood'), [ENGINE, PORT, perSecond, floodSeconds].map(String))
    : undefined;
  await using cleanup = new AsyncDisposableStack();
  if (flooder !== undefined) cleanup.use(flooder);
  if (floods) await sleep(HEAD_START_MS);
  const args = [ENGINE, PORT, 1, seconds, AT_ONCE, GOOD_PER_SECOND, IN_TIME_MS].map(String);
  await using client = start(PEER_CORE, compiled('client'), args);
  const good = JSON.parse(await client.line()) as { begun: number; opened: number; p50: number; p99: number };
  const sent =
    flooder && (JSON.parse(await flooder.line()) as { sent: number; refused: number; seconds: number });
  const took = JSON.parse(await engine.line()) as { cookies: number; segmentsIn: number; cpuSeconds: number };
  await engine.ended;
  const rate = sent === undefined ? 0 : sent.sent / sent.seconds;
  return {
    share: good.opened / good.begun,
    perSecond: rate,
    notes: [
      `${Math.round(rate)} SYN/s sent, ${took.segmentsIn} segments taken, ${took.cookies} cookies sent, ${good.opened} of ${good.begun} good handshakes in time (half within ${good.p50} ms, 99 % within ${good.p99} ms)`,
    ],
  };
}
