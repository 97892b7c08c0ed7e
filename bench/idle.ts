/** What a connection costs that is open and has nothing to do: the engine against a socket of node:net. */

import { join } from 'node:path';
import type { Outcome, Size } from './figures.ts';
import { MEASURED_CORE, start } from './programs.ts';

const ENGINE_CONNECTIONS = { tiny: 1000, full: 100_000 } as const;
const NODE_CONNECTIONS = { tiny: 200, full: 10_000 } as const;
const GOAL_BYTES = 4096;
const CHILD = join(import.meta.dirname, 'idle-child.ts');

interface Held {
  readonly connections: number;
  /** Bytes of heap and of buffers outside it, and of the process, for one connection. */
  readonly bytes: number;
  readonly residentBytes: number;
}

export async function idle(size: Size): Promise<Outcome> {
  const silent = await hold('engine', ENGINE_CONNECTIONS[size]);
  const used = await hold('engine-used', ENGINE_CONNECTIONS[size]);
  const node = await hold('node', NODE_CONNECTIONS[size]);
  const other = { name: 'socket of node:net, without what it takes in the kernel', value: node.bytes };
  const common = { unit: 'bytes each', goal: { most: GOAL_BYTES } };
  return {
    figures: [
      { what: `${silent.connections} idle connections, nothing sent yet`, ours: silent.bytes, ...common },
      {
        what: `${used.connections} idle connections after a request and its answer`,
        ours: used.bytes,
        ...common,
      },
      { what: 'idle connection beside node:net', ours: used.bytes, unit: 'bytes each', other },
    ],
    notes: [
      ...Object.entries({ 'nothing sent yet': silent, 'after a request': used, 'node:net': node }).map(
        ([name, held]) =>
          `${name}: ${held.connections} connections, ${Math.round(held.bytes)} bytes each by the heap, ${Math.round(held.residentBytes)} by the process's resident memory`,
      ),
    ],
  };
}

async function hold(what: string, connections: number): Promise<Held> {
  const args = ['--expose-gc', CHILD, what, String(connections)];
  await using child = start(MEASURED_CORE, process.execPath, args);
  const held = JSON.parse(await child.line()) as Held;
  await child.ended;
  return held;
}
