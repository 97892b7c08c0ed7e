/** `finwait ports`: how near connections are to having no local port left, by destination; needs no agent. */

import { FinwaitError } from '#base/errors.ts';
import { readSettings } from '#base/settings.ts';
import { noNetlinkFaults } from '../daemon/kernel/netlink-socket.ts';
import { Conntrack } from '../daemon/track/conntrack.ts';
import { readConntrackFill } from '../daemon/track/kernel-numbers.ts';
import { portUses } from '../daemon/track/port-pressure.ts';
import { assignablePorts, portRulesOf } from '../daemon/track/port-rules.ts';
import { sourceNatUses } from '../daemon/track/source-nat.ts';
import { NO_USE } from './conntrack-view.ts';
import type { CommandHelp } from './help.ts';
import { asksForHelp, helpText, refusePositionals } from './help.ts';
import type { CliIo } from './io.ts';
import { EXIT } from './io.ts';
import type { Place } from './place.ts';
import { inside, ownNamespace, podUnknown } from './place.ts';
import { isPod } from './pod-names.ts';
import type { PortSortKey, PortsSettings } from './ports-settings.ts';
import { PORTS_SETTINGS } from './ports-settings.ts';
import { UseTrends } from './ports-trends.ts';
import type { NatRow, PortRow, Use } from './ports-view.ts';
import { natColumns, part, portColumns } from './ports-view.ts';
import type { NamespaceRead, SocketsRead } from './sockets-reader.ts';
import { SocketsReader } from './sockets-reader.ts';
import type { SortValue, TableColumn } from './table.ts';
import {
  incompleteAnswer,
  passes,
  printConditions,
  printJson,
  printTable,
  requireConntrack,
  sortableEnd,
  sorted,
} from './table.ts';
import { count } from './view-text.ts';
import { watching } from './watch.ts';

const HELP: CommandHelp = {
  usage: 'finwait ports [options]',
  about: [
    'Lists how many of the local ports are in use towards each destination, in this network namespace or in others. A',
    'connection is known by both its ends, so each source address has the whole range towards each destination. Where',
    'USED reaches USABLE, connect(2) fails with EADDRNOTAVAIL.',
  ].join('\n'),
  settings: PORTS_SETTINGS,
  examples: [
    ['finwait ports --limit 10', 'the destinations with the largest part in use'],
    ['finwait ports --all-namespaces --min-used 50', 'the pods that may run out of ports'],
    ['finwait ports --watch --min-used 20', 'how fast they come into use, and when none is left'],
    ['finwait ports --nat', 'ports of masqueraded addresses, and who uses them'],
    ['finwait ports --port 5432 --json', 'those towards a database'],
  ],
  notes: [
    'REUSABLE are in TIME-WAIT and given to new connections (net.ipv4.tcp_tw_reuse). BOUND were bound without\n' +
      'IP_BIND_ADDRESS_NO_PORT, and so are taken from every other destination as well. --nat needs CAP_NET_ADMIN.',
    'Who has the connections: finwait sockets --by process --address DESTINATION --peer-port PORT.',
  ],
};

export async function runPorts(args: readonly string[], io: CliIo): Promise<number> {
  if (asksForHelp(args)) {
    io.stdout.write(helpText(HELP));
    return EXIT.ok;
  }
  const { settings, positionals } = readSettings(PORTS_SETTINGS, args, io.env);
  refusePositionals(positionals);
  const { nat, netns, pod, allNamespaces, sort } = settings;
  if (allNamespaces && netns.length > 0) throw usage('--all-namespaces and --netns exclude each other');
  const trends = new UseTrends();
  if (!nat) {
    const severalPlaces = netns.length > 0 || allNamespaces || pod.length > 0;
    const places = netns.length > 0 ? netns : severalPlaces ? 'all' : 'own';
    const reader = new SocketsReader(places);
    return watching(io, settings, () => printPorts(io, settings, reader.read(), { trends, severalPlaces }));
  }
  if (pod.length > 0 || allNamespaces) throw usage('--nat goes with --netns, not with --pod or -A');
  if (!Object.hasOwn(NAT_SORTS, sort)) {
    throw usage(`--sort ${sort} does not go with --nat: it sorts by ${Object.keys(NAT_SORTS).join(', ')}`);
  }
  return watching(io, settings, () => printSourceNat(io, settings, trends));
}

function usage(problem: string): FinwaitError {
  return new FinwaitError('USAGE', problem, 'run the command with --help to see what it takes');
}

async function printPorts(
  io: CliIo,
  settings: PortsSettings,
  read: SocketsRead,
  { trends, severalPlaces }: { readonly trends: UseTrends; readonly severalPlaces: boolean },
): Promise<void> {
  const { podNames, dropped, conditions } = read;
  const nameOf = ({ pod }: NamespaceRead) => (pod && podNames.get(pod.uid)) ?? null;
  const namespaces = read.namespaces.filter((each) =>
    passes(settings.pod, (filter) => isPod(each.pod ?? null, nameOf(each), filter)),
  );
  const nowMs = performance.now();
  const now = namespaces.flatMap((each) => {
    const rules = portRulesOf(each.numbers.settings ?? {});
    const { inode: netns, pod, table } = each;
    return portUses(table, rules, nowMs).map((use) => {
      return { ...use, netns, pod: pod?.uid ?? null, podName: nameOf(each) };
    });
  });
  const uses: readonly PortRow[] = trends.followed(now, ({ source }) => source, nowMs);
  const [only, another] = namespaces;
  const rules =
    only === undefined || another !== undefined ? counted(namespaces.length, 'namespace') : rulesText(only);
  const footer = `${counted(uses.length, 'destination')}; ${rules}`;
  const rows = inOrder(uses, settings, PORT_SORTS, ({ source }) => source);
  await show(io, settings, rows, portColumns(severalPlaces, settings.watch), footer);
  const unknown = settings.pod.filter(
    (filter) => !namespaces.some((each) => isPod(each.pod ?? null, nameOf(each), filter)),
  );
  printConditions(io, [...conditions, ...unknown.map(podUnknown), ...incompleteAnswer(dropped)]);
}

function rulesText({ numbers }: NamespaceRead): string {
  const rules = portRulesOf(numbers.settings ?? {});
  const reserved = rules.reserved.length === 0 ? '' : ' less the reserved ones';
  return `ports ${rules.low} to ${rules.high}${reserved}: ${count(assignablePorts(rules))}; tcp_tw_reuse ${rules.twReuse}`;
}

function counted(number: number, thing: string): string {
  return `${count(number)} ${thing}${number === 1 ? '' : 's'}`;
}

async function printSourceNat(io: CliIo, settings: PortsSettings, trends: UseTrends): Promise<void> {
  const { netns } = settings;
  const conditions: Parameters<Conntrack['sweep']>[0] = [];
  const reads = (netns.length > 0 ? netns : [undefined]).map((place) => readSourceNat(place, conditions));
  requireConntrack(conditions);
  const now = reads.flatMap((read) => read.uses);
  const uses: readonly NatRow[] = trends.followed(now, ({ address }) => address, performance.now());
  const rows = inOrder(uses, settings, NAT_SORTS, ({ address }) => address);
  const folded = reads.reduce((sum, read) => sum + read.folded, 0);
  const others = folded === 0 ? '' : `; ${counted(folded, 'flow')} with source NAT towards others`;
  const unused = reads.every(({ unused }) => unused) ? `; ${NO_USE}` : '';
  const footer =
    uses.length === 0
      ? `no flow has source NAT${unused}`
      : `${counted(uses.length, 'destination')}${folded === 0 ? '' : ' with most'}${others}`;
  await show(io, settings, rows, natColumns(netns.length > 0, settings.watch), footer);
  const dropped = reads.reduce((sum, read) => sum + read.dropped, 0);
  printConditions(io, [...conditions, ...incompleteAnswer(dropped)]);
}

function readSourceNat(place: Place | undefined, conditions: Parameters<Conntrack['sweep']>[0]) {
  const faults = noNetlinkFaults();
  return inside(place, () => {
    using conntrack = new Conntrack({ faults });
    conntrack.sweep(conditions);
    const { uses, folded } = sourceNatUses((visit) => conntrack.table.forEachFlow(visit));
    const netns = ownNamespace();
    const rows = uses.map((use) => ({ ...use, netns }));
    const unused = readConntrackFill().count === 0;
    return { uses: rows, folded, unused, dropped: faults.truncated + faults.undecodable };
  });
}

type Sorts<U> = Readonly<Partial<Record<PortSortKey, (use: U) => SortValue>>>;

const PORT_SORTS: Sorts<PortRow> = {
  used: (use) => -part(use),
  ports: ({ used }) => -used,
  source: ({ source }) => sortableEnd({ address: source, port: 0 }),
  destination: ({ destination }) => sortableEnd(destination),
  'time-wait': ({ timeWait }) => -timeWait,
  bound: ({ bound }) => -bound,
  pod: ({ pod, podName }) => podName ?? pod ?? undefined,
};

const NAT_SORTS: Sorts<NatRow> = {
  used: (use) => -part(use),
  ports: ({ used }) => -used,
  source: ({ address }) => sortableEnd({ address, port: 0 }),
  destination: ({ destination }) => sortableEnd(destination),
};

/** Those that pass the filters; of those that are equal in the order the one with more ports in use or in TIME-WAIT first. */
function inOrder<U extends Use & { readonly reusable?: number }>(
  uses: readonly U[],
  settings: PortsSettings,
  sorts: Sorts<U>,
  from: (use: U) => string,
): readonly U[] {
  const { address, port, minUsed, sort, reverse, limit } = settings;
  const rows = uses.filter(
    (use) =>
      100 * part(use) >= minUsed &&
      passes(address, ({ matches }) => matches(from(use)) || matches(use.destination.address)) &&
      passes(port, (each) => each === use.destination.port),
  );
  const byPorts = sorted(rows, ({ used, reusable = 0 }) => -(used + reusable), reverse);
  return sorted(byPorts, sorts[sort] ?? (() => undefined), reverse).slice(0, limit);
}

async function show<U>(
  io: CliIo,
  settings: PortsSettings,
  rows: readonly U[],
  columns: readonly TableColumn<U>[],
  footer: string,
): Promise<void> {
  if (settings.json || settings.output === 'json') await printJson(io, rows, settings);
  else await printTable(io, { columns, rows, footer: [[{ text: footer, style: 'dim' }]] }, settings);
}
