/**
 * Whole connections, opened and closed: the engine as server against a bare C loop that keeps no connections, and
 * the engine as client against net.connect, each with a peer of the kernel's own TCP on the other core.
 */

import { join } from 'node:path';
import type { Outcome, Size } from './figures.ts';
import { profiled, runEngine, startEngine } from './measured-engine.ts';
import { DEVICE, ENGINE, PORT, PORTS, setUpDevice } from './network.ts';
import { linesOf } from './profile.ts';
import { compiled, MEASURED_CORE, PEER_CORE, type Program, start } from './programs.ts';

const AT_ONCE = 256;
const SECONDS = { tiny: 1.5, full: 10 } as const;
const PROFILED_SECONDS = 4;
/** How much longer a server lives than its client. */
const SERVER_EXTRA_SECONDS = 1;
const NET_CLIENT = join(import.meta.dirname, 'net-client.ts');

interface Load {
  readonly perSecond: number;
  readonly failed: number;
  readonly cpuUs: number;
  /** Share of the core that the measured process used. */
  readonly busy: number;
}

export async function handshakes(size: Size): Promise<Outcome> {
  const seconds = SECONDS[size];
  const bare = await bareServer(seconds);
  const engine = await engineServer(seconds);
  const node = await withPeer(() => nodeClient(seconds));
  const active = await withPeer(() => engineClient(seconds));
  const profiledSeconds = Math.min(seconds, PROFILED_SECONDS);
  const serverProfile = await profiled((profile) => engineServer(profiledSeconds, profile));
  const clientProfile = await profiled((profile) => withPeer(() => engineClient(profiledSeconds, profile)));
  const loads = {
    'engine as server': engine,
    'C responder': bare,
    'engine as client': active,
    'net.connect': node,
  };
  return {
    figures: [
      {
        what: 'engine as server, handshake and close',
        ours: engine.perSecond,
        unit: 'connections/s',
        other: { name: 'bare C responder', value: bare.perSecond },
        goal: { least: 0.8 },
      },
      {
        what: 'engine as client, handshake and close',
        ours: active.perSecond,
        unit: 'connections/s',
        other: { name: 'net.connect', value: node.perSecond },
        goal: { least: 1.2 },
      },
    ],
    notes: [
      ...Object.entries(loads).map(([name, load]) => describe(name, load)),
      ...linesOf(serverProfile).map((line) => `engine as server, ${line}`),
      ...linesOf(clientProfile).map((line) => `engine as client, ${line}`),
    ],
  };
}

function describe(name: string, { cpuUs, busy, failed }: Load): string {
  return `${name}: ${cpuUs.toFixed(1)} us of CPU for a connection, core ${Math.round(busy * 100)} % busy, ${failed} failed`;
}

async function bareServer(seconds: number): Promise<Load> {
  const lasts = String(seconds + SERVER_EXTRA_SECONDS);
  await using server = start(MEASURED_CORE, compiled('responder'), [DEVICE, lasts]);
  await server.line();
  setUpDevice();
  const load = await kernelClient(server, seconds);
  server.kill('SIGTERM');
  await server.ended;
  return load;
}

async function engineServer(seconds: number, profile?: string): Promise<Load> {
  await using server = await startEngine('serve', { seconds: seconds + SERVER_EXTRA_SECONDS, profile });
  server.tell('go');
  const load = await kernelClient(server, seconds);
  await server.line();
  await server.ended;
  return load;
}

async function kernelClient(server: Program, seconds: number): Promise<Load> {
  const cpuBefore = server.cpuSeconds();
  const args = [ENGINE, PORT, PORTS, seconds, AT_ONCE].map(String);
  await using client = start(PEER_CORE, compiled('client'), args);
  const result = JSON.parse(await client.line()) as { done: number; failed: number; seconds: number };
  return loadOf({ ...result, cpuSeconds: server.cpuSeconds() - cpuBefore });
}

async function nodeClient(seconds: number): Promise<Load> {
  const args = [NET_CLIENT, String(PORT), String(seconds), String(AT_ONCE)];
  await using client = start(MEASURED_CORE, process.execPath, args);
  return loadOf(JSON.parse(await client.line()));
}

async function engineClient(seconds: number, profile?: string): Promise<Load> {
  return loadOf(await runEngine('connect', { seconds, atOnce: AT_ONCE, profile }));
}

/** With a server of the kernel's TCP that accepts and closes. */
async function withPeer<T>(measure: () => Promise<T>): Promise<T> {
  await using server = start(PEER_CORE, compiled('server'), ['0.0.0.0', String(PORT), 'close']);
  await server.line();
  return await measure();
}

function loadOf(result: {
  readonly done: number;
  readonly failed: number;
  readonly seconds: number;
  readonly cpuSeconds: number;
}): Load {
  const { done, failed, seconds, cpuSeconds } = result;
  if (done === 0) throw new Error(`not one connection was opened and closed, ${failed} failed`);
  return { perSecond: done / seconds, failed, cpuUs: (cpuSeconds * 1e6) / done, busy: cpuSeconds / seconds };
}
