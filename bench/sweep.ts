/** The network namespaces of a hundred pods, swept as the agent does it: against `ss` run in each of them. */

import type { Figure, Outcome, Size } from './figures.ts';
import { compiled, PEER_CORE, start } from './programs.ts';
import { milliseconds, ownReadings, readingOf } from './tables.ts';

const PODS = { tiny: 5, full: 100 } as const;
/** The first fills the tables. Of the others every sixth asks each namespace, though nothing has changed. */
const RUNS = { tiny: 2, full: 19 } as const;
const NEIGHBOURS = { tiny: 100, full: 100_000 } as const;
const CONNECTIONS = 20;
const GOAL_MS = 100;

export async function sweep(size: Size): Promise<Outcome> {
  const idle = await withPods(0, size);
  const busy = await withPods(CONNECTIONS, size);
  await using neighbour = start(PEER_CORE, compiled('many'), ['close-wait', String(NEIGHBOURS[size])]);
  await neighbour.line();
  const crowded = await withPods(CONNECTIONS, size);
  const what = `sweep of ${PODS[size]} namespaces`;
  const figure = (how: string, { own, ss }: Swept): Figure => ({
    what: `${what}, ${how}`,
    ours: own,
    unit: 'ms of CPU',
    other: { name: 'ss -tan in each', value: ss },
  });
  const dearest = (how: string, { dearest: ours }: Swept, goal?: Figure['goal']): Figure => ({
    what: `${what}, ${how}, the dearest of all`,
    ours,
    unit: 'ms of CPU',
    ...(goal === undefined ? {} : { goal }),
  });
  const connections = `${2 * CONNECTIONS + 1} sockets in each`;
  const neighbours = `and ${NEIGHBOURS[size]} sockets in our own`;
  return {
    figures: [
      figure('a listener in each', idle),
      figure(connections, busy),
      dearest(connections, busy, { most: GOAL_MS }),
      figure(neighbours, crowded),
      dearest(neighbours, crowded),
    ],
    notes: ['the kernel walks the sockets of the whole machine for each namespace that is asked'],
  };
}

interface Swept {
  /** The mean. */
  readonly own: number;
  readonly dearest: number;
  readonly ss: number;
}

async function withPods(connections: number, size: Size): Promise<Swept> {
  await using pods = start(PEER_CORE, compiled('pods'), [String(PODS[size]), String(connections)]);
  const pids = (await pods.line()).trim().split(' ');
  const [, ...own] = (await ownReadings('sweep', RUNS[size])).map(milliseconds);
  const each = 'for pid; do nsenter --net=/proc/$pid/ns/net ss -tan; done';
  return {
    own: own.reduce((sum, each) => sum + each, 0) / own.length,
    dearest: Math.max(...own),
    ss: milliseconds(await readingOf('bash', '-c', each, 'each', ...pids)),
  };
}
