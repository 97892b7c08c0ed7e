/** `finwait conntrack --stats`: what the processors count of conntrack. */

import { noNetlinkFaults } from '../daemon/kernel/netlink-socket.ts';
import type { ConntrackCpuStats, ConntrackStatName } from '../daemon/netlink/conntrack-stats.ts';
import { CONNTRACK_STATS } from '../daemon/netlink/conntrack-stats.ts';
import { StatTotals } from '../daemon/track/conntrack-rates.ts';
import { dumpConntrackStats } from '../daemon/track/dumps.ts';
import type { ConntrackSettings } from './conntrack-settings.ts';
import type { CliIo } from './io.ts';
import type { Place } from './place.ts';
import { inside } from './place.ts';
import type { TableColumn } from './table.ts';
import { incompleteAnswer, printConditions, printJson, printTable } from './table.ts';
import { count } from './view-text.ts';

interface StatRow {
  readonly name: ConntrackStatName;
  /** Of all processors, since boot. */
  readonly total: number;
  /** Null in the first look. */
  readonly perSecond: number | null;
  /** By number of the processor. */
  readonly cpus: readonly number[];
}

const MEANINGS: Readonly<Record<ConntrackStatName, string>> = {
  found: 'entries that a search came by although their tuple was another',
  invalid: 'packets that fit no state and could not begin a flow',
  insert: 'entries that were put in by a request',
  insertFailed: 'new flows that could not be put in, such as a tuple taken meanwhile: their packet is lost',
  drop: 'packets dropped because the table is full and nothing could be evicted',
  earlyDrop: 'flows evicted to make room because the table is full',
  error: 'ICMP errors that cannot belong to any flow',
  searchRestart: 'searches begun anew because the table was resized or changed',
  clashResolve: 'two packets began the same flow at once, and that was settled',
  chainTooLong: 'new flows dropped because too many share a place of the hash',
};

export class StatsReader {
  readonly #place: Place | undefined;
  readonly #grown = new StatTotals();
  /** Of the first look: since boot, for the time until then. */
  #first: ReadonlyMap<string, number> | undefined;

  constructor(place: Place | undefined) {
    this.#place = place;
  }

  /** @throws FinwaitError CONNTRACK_DENIED, CONNTRACK_MISSING, NETLINK_FAILED */
  async print(io: CliIo, settings: ConntrackSettings): Promise<void> {
    const faults = noNetlinkFaults();
    const cpus = inside(this.#place, () => dumpConntrackStats(faults)).sort((a, b) => a.cpu - b.cpu);
    const rows = this.rows(cpus, performance.now());
    if (settings.json || settings.output === 'json') await printJson(io, rows, settings);
    else await printTable(io, { columns: columns(rows), rows, footer: [] }, settings);
    printConditions(io, incompleteAnswer(faults.undecodable + faults.truncated));
  }

  rows(cpus: readonly ConntrackCpuStats[], nowMs: number): StatRow[] {
    const valuesOf = (name: ConntrackStatName) =>
      cpus.map(({ values }) => values[name]).filter((value) => value !== undefined);
    this.#first ??= new Map(
      CONNTRACK_STATS.map((name) => [name, valuesOf(name).reduce((sum, each) => sum + each, 0)]),
    );
    const first = this.#first;
    return this.#grown.add(cpus, nowMs).map(({ name, total, perS }) => ({
      name,
      total: (first.get(name) ?? 0) + total,
      perSecond: perS ?? null,
      cpus: valuesOf(name),
    }));
  }
}

function columns(rows: readonly StatRow[]): TableColumn<StatRow>[] {
  const rated = rows.some(({ perSecond }) => perSecond !== null);
  return [
    { title: 'COUNTER', drop: 0, cell: ({ name }) => ({ text: name }) },
    { title: 'TOTAL', align: 'right', drop: 0, cell: ({ total }) => ({ text: count(total) }) },
    {
      title: 'PER-SECOND',
      align: 'right',
      drop: 1,
      ...(rated ? {} : { wide: true as const }),
      cell: ({ perSecond }) => ({ text: perSecond === null ? '-' : perSecond.toFixed(1) }),
    },
    {
      title: 'CPUS',
      drop: 3,
      wide: true,
      cell: ({ cpus }) => ({ text: cpus.map((each) => count(each)).join(' ') }),
    },
    { title: 'COUNTS', drop: 2, min: 12, cell: ({ name }) => ({ text: MEANINGS[name] }) },
  ];
}
