/** `finwait sockets --counters`: what the kernel counts of TCP in each network namespace, and how that is set. */

import type { NamespaceFacts, NamespaceSettings } from '#contract';
import type { CliIo } from './io.ts';
import { isPod } from './pod-names.ts';
import type { NamespaceRead, SocketsRead } from './sockets-reader.ts';
import type { SocketsSettings } from './sockets-settings.ts';
import type { TableColumn } from './table.ts';
import { passes, printJson, printTable } from './table.ts';
import type { Line } from './view-text.ts';
import { count } from './view-text.ts';

interface CounterRow {
  readonly netns: number;
  readonly pod: string | undefined;
  readonly name: string;
  readonly total: number;
  readonly perSecond: number | undefined;
}

export async function printCounters(
  io: CliIo,
  settings: SocketsSettings,
  { namespaces, podNames }: SocketsRead,
): Promise<void> {
  const { pod: pods, limit, reverse, output, json } = settings;
  const chosen = namespaces.filter(({ pod = null }) =>
    passes(pods, (filter) => isPod(pod, pod && podNames.get(pod.uid), filter)),
  );
  if (json || output === 'json') {
    await printJson(io, chosen.map(factsOf), settings);
    return;
  }
  const rows = chosen
    .flatMap((each) => rowsOf(each, podNames))
    .sort((a, b) => (b.perSecond ?? 0) - (a.perSecond ?? 0));
  if (reverse) rows.reverse();
  const columns = counterColumns(namespaces.length > 1);
  const footer = chosen.length === 1 ? settingsLines(chosen[0]?.numbers.settings) : [];
  await printTable(io, { columns, rows: rows.slice(0, limit), footer }, settings);
}

function factsOf({ inode, own, pod, numbers }: NamespaceRead): NamespaceFacts {
  const { sockstat, settings } = numbers;
  return {
    inode,
    own,
    ...(pod === undefined ? {} : { pod: pod.uid }),
    inUse: sockstat.inUse,
    timeWait: sockstat.timeWait,
    counters: numbers.counters.readings(),
    ...(settings === undefined ? {} : { settings }),
  };
}

function rowsOf({ inode, pod, numbers }: NamespaceRead, podNames: ReadonlyMap<string, string>): CounterRow[] {
  return Object.entries(numbers.counters.readings()).map(([name, { total, perSecond }]) => ({
    netns: inode,
    pod: pod && (podNames.get(pod.uid) ?? pod.uid),
    name,
    total,
    perSecond,
  }));
}

function counterColumns(severalNamespaces: boolean): TableColumn<CounterRow>[] {
  return [
    { title: 'COUNTER', drop: 0, cell: ({ name }) => ({ text: name }) },
    { title: 'TOTAL', align: 'right', drop: 0, cell: ({ total }) => ({ text: count(total) }) },
    {
      title: 'PER-SECOND',
      align: 'right',
      drop: 0,
      cell: ({ perSecond }) =>
        perSecond === undefined
          ? { text: '-', style: 'dim' }
          : { text: perSecond.toFixed(1), ...(perSecond > 0 ? { style: 'warn' as const } : {}) },
    },
    ...(severalNamespaces
      ? ([
          { title: 'NETNS', align: 'right', drop: 1, cell: ({ netns }) => ({ text: String(netns) }) },
          { title: 'POD', drop: 2, min: 8, cell: ({ pod }) => ({ text: pod ?? '-' }) },
        ] satisfies TableColumn<CounterRow>[])
      : []),
  ];
}

/** What the counters are to be read with. */
function settingsLines(settings: NamespaceSettings | undefined): Line[] {
  if (settings === undefined) return [];
  const {
    portRange,
    reservedPorts = [],
    twReuse,
    maxTwBuckets,
    somaxconn,
    maxSynBacklog,
    synCookies,
  } = settings;
  const told = [
    portRange && `ports ${portRange.from}-${portRange.to}`,
    reservedPorts.length > 0 &&
      `reserved ${reservedPorts.map(({ from, to }) => (from === to ? from : `${from}-${to}`)).join(',')}`,
    twReuse !== undefined && `tw_reuse ${twReuse}`,
    maxTwBuckets !== undefined && `max_tw_buckets ${count(maxTwBuckets)}`,
    somaxconn !== undefined && `somaxconn ${count(somaxconn)}`,
    maxSynBacklog !== undefined && `max_syn_backlog ${count(maxSynBacklog)}`,
    synCookies !== undefined && `syncookies ${synCookies}`,
  ].filter((part) => typeof part === 'string');
  return [[{ text: told.join(' · '), style: 'dim' }]];
}
