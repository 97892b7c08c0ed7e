/** A large conntrack, dumped into the agent's table, and its events: against a reader in C, and against `conntrack -L`. */

import { readFileSync } from 'node:fs';
import type { Figure, Outcome, Size } from './figures.ts';
import { compiled, MEASURED_CORE, PEER_CORE, type Program, start } from './programs.ts';
import { CHILD, milliseconds, ownReadings, readingOf, readingsInC, settled } from './tables.ts';

const FLOWS = { tiny: [2_000], full: [250_000, 1_000_000] } as const;
const RUNS = { tiny: 2, full: 5 } as const;
const GOAL_C = 1.2;
const GOAL_TOOL = 0.7;
const GOAL_MIB = 120;

/** What fits into the queue while nobody reads. */
const QUEUE_BYTES = 32 << 20;
const BATCH = { perSecond: 100_000, seconds: { tiny: 0.02, full: 0.4 } } as const;
const WARM_UPS = 3;
const LIVE = { perSecond: 200_000, seconds: { tiny: 0.1, full: 10 } } as const;
const GOAL_US = 3;

export async function conntrack(size: Size): Promise<Outcome> {
  const outcomes: Outcome[] = [await events(size)];
  let made = 0;
  for (const count of FLOWS[size]) {
    if (count > flowsAllowed()) {
      const notes = [`no dump of ${count} flows: net.netfilter.nf_conntrack_max is ${flowsAllowed()}`];
      outcomes.push({ figures: [], notes });
      continue;
    }
    await makeFlows(made, count);
    made = count;
    outcomes.push(await dump(count, size));
  }
  return {
    figures: outcomes.flatMap(({ figures }) => figures),
    notes: outcomes.flatMap(({ notes }) => notes),
  };
}

function flowsAllowed(): number {
  return Number(readFileSync('/proc/sys/net/netfilter/nf_conntrack_max', 'utf8'));
}

async function makeFlows(from: number, to: number): Promise<void> {
  await using flows = start(PEER_CORE, compiled('flows'), ['make', String(from), String(to)]);
  await flows.line();
  await flows.ended;
}

async function dump(count: number, size: Size): Promise<Outcome> {
  const inC = await readingsInC('conntrack', ['dump'], RUNS[size]);
  const own = await ownReadings('flows', RUNS[size]);
  const tool = await readingOf('conntrack', '-L');
  const [first] = own;
  const { rows } = settled(own);
  if (first === undefined || rows !== count) throw new Error(`${rows} of ${count} flows were read`);
  const read = { what: `dump of ${count} flows`, ours: milliseconds(settled(own)), unit: 'ms of CPU' };
  const memory: Figure = {
    what: `memory for ${count} flows`,
    // A small table finds room in what the process has already.
    ours: Math.max(first.tableMiB ?? 0, (first.residentMiB ?? 0) - (first.residentBeforeMiB ?? 0)),
    unit: 'MiB',
    goal: { most: GOAL_MIB },
  };
  return {
    figures: [
      { ...read, other: { name: 'C reader', value: milliseconds(settled(inC)) }, goal: { most: GOAL_C } },
      { ...read, other: { name: 'conntrack -L', value: milliseconds(tool) }, goal: { most: GOAL_TOOL } },
      memory,
    ],
    notes: [
      `${count} flows: the first dump, which fills the table, took ${milliseconds(first).toFixed(0)} ms of CPU`,
    ],
  };
}

/** What a reader tells of the events since it was asked last. */
interface Taken {
  readonly events: number;
  /** How often the kernel had no room. */
  readonly lost: number;
  readonly cpu: number;
}

async function events(size: Size): Promise<Outcome> {
  const inC = await withReader(compiled('conntrack'), ['events', String(QUEUE_BYTES)], size);
  const own = await withReader(process.execPath, [CHILD, 'events', String(QUEUE_BYTES)], size);
  const capacity = ({ batch }: Measured) => batch.events / batch.cpu;
  const us = ({ live }: Measured) => (live.cpu * 1e6) / live.events;
  return {
    figures: [
      {
        what: 'events read, parsed and put into the table',
        ours: capacity(own),
        unit: 'in a second of CPU',
        other: { name: 'C reader', value: capacity(inC) },
      },
      {
        what: `CPU for an event, at up to ${LIVE.perSecond} in a second`,
        ours: us(own),
        unit: 'us',
        goal: { most: GOAL_US },
      },
      { what: 'the same beside C', ours: us(own), unit: 'us', other: { name: 'C reader', value: us(inC) } },
      {
        what: 'events that came of those that were made',
        ours: (100 * own.live.events) / own.made,
        unit: '%',
        ...(size === 'full' ? { goal: { least: 100 } } : {}),
      },
    ],
    notes: [own, inC].map(
      ({ name, live, made, seconds }) =>
        `${name}: ${live.events} of ${made} events came, ${Math.round(made / seconds)} in a second; the kernel had no room ${live.lost} times`,
    ),
  };
}

interface Measured {
  readonly name: string;
  /** What waited in the queue. */
  readonly batch: Taken;
  /** What came while it read. */
  readonly live: Taken;
  readonly made: number;
  readonly seconds: number;
}

async function withReader(program: string, args: readonly string[], size: Size): Promise<Measured> {
  await using reader = start(MEASURED_CORE, program, args);
  await reader.line();
  const batch = () => whileStopped(reader, () => live(BATCH.perSecond, BATCH.seconds[size]));
  // What is measured has been compiled by then.
  for (let time = 0; time < WARM_UPS; time += 1) {
    await batch();
    await taken(reader);
  }
  await batch();
  const waited = await taken(reader);
  const { events: made, seconds } = await live(LIVE.perSecond, LIVE.seconds[size]);
  const name = program === process.execPath ? 'our reader' : 'C reader';
  return { name, batch: waited, live: await taken(reader), made, seconds };
}

async function whileStopped(reader: Program, work: () => Promise<unknown>): Promise<void> {
  reader.kill('SIGSTOP');
  await work();
  reader.kill('SIGCONT');
}

/** Each life makes four events. */
async function live(perSecond: number, seconds: number): Promise<{ events: number; seconds: number }> {
  const args = ['live', perSecond, Math.round((perSecond * seconds) / 4), 0].map(String);
  await using flows = start(PEER_CORE, compiled('flows'), args);
  const told = JSON.parse(await flows.line()) as { events: number; seconds: number };
  await flows.ended;
  return told;
}

async function taken(reader: Program): Promise<Taken> {
  reader.tell('');
  return JSON.parse(await reader.line()) as Taken;
}
