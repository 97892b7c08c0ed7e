/** `finwait ports`: how near connections are to having no local port left, by destination; needs no agent. */

import { FinwaitError } from '#base/errors.ts';
import { readSettings } from '#base/settings.ts';
import { noNetlinkFaults } from '../daemon/kernel/netlink-socket.ts';
import { Conntrack } from '../daemon/track/conntrack.ts';
import { portUses } from '../daemon/track/port-pressure.ts';
import { assignablePorts, portRulesOf } from '../daemon/track/port-rules.ts';
import { sourceNatUses } from '../daemon/track/source-nat.ts';
import type { CommandHelp } from './help.ts';
import { asksForHelp, helpText, refusePositionals } from './help.ts';
import type { CliIo } from './io.ts';
import { EXIT } from './io.ts';
import type { Place } from './place.ts';
import { inside, ownNamespace } from './place.ts';
import { isPod } from './pod-names.ts';
import type { PortSortKey, PortsSettings } from './ports-settings.ts';
import { PORTS_SETTINGS } from './ports-settings.ts';
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
  if (!nat) {
    const severalPlaces = netns.length > 0 || allNamespaces || pod.length > 0;
    const places = netns.length > 0 ? netns : severalPlaces ? 'all' : 'own';
    const reader = new SocketsReader(places, { onlyEnds: true });
    return watching(io, settings, () => printPorts(io, settings, reader.read(), severalPlaces));
  }
  if (pod.length > 0 || allNamespaces) throw usage('--nat goes with --netns, not with --pod or -A');
  if (!Object.hasOwn(NAT_SORTS, sort)) {
    throw usage(`--sort ${sort} does not go with --nat: it sorts by ${Object.keys(NAT_SORTS).join(', ')}`);
  }
  return watching(io, settings, () => printSourceNat(io, settings));
}

function usage(problem: string): FinwaitError {
  return new FinwaitError('USAGE', problem, 'run the command with --help to see what it takes');
}

async function printPorts(
  io: CliIo,
  settings: PortsSettings,
  read: SocketsRead,
  severalPlaces: boolean,
): Promise<void> {
  const { podNames, dropped, conditions } = read;
  const nameOf = ({ pod }: NamespaceRead) => (pod && podNames.get(pod.uid)) ?? null;
  const namespaces = read.namespaces.filter((each) =>
    passes(settings.pod, (filter) => isPod(each.pod ?? null, nameOf(each), filter)),
  );
  const nowMs = performance.now();
  const uses = namespaces.flatMap((each): PortRow[] => {
    const rules = portRulesOf(each.numbers.settings ?? {});
    const { inode: netns, pod, table } = each;
    return portUses(table, rules, nowMs).map((use) => {
      return { ...use, netns, pod: pod?.uid ?? null, podName: nameOf(each) };
    });
  });
  const [only, another] = namespaces;
  const rules =
    only === undefined || another !== undefined ? `${count(namespaces.length)} namespaces` : rulesText(only);
  const footer = `${count(uses.length)} destinations; ${rules}`;
  const rows = inOrder(uses, settings, PORT_SORTS, ({ source }) => source);
  await show(io, settings, rows, portColumns(severalPlaces), footer);
  printConditions(io, [...conditions, ...incompleteAnswer(dropped)]);
}

function rulesText({ numbers }: NamespaceRead): string {
  const rules = portRulesOf(numbers.settings ?? {});
  const reserved = rules.reserved.length === 0 ? '' : ' less the reserved ones';
  return `ports ${rules.low} to ${rules.high}${reserved}: ${count(assignablePorts(rules))}; tcp_tw_reuse ${rules.twReuse}`;
}

async function printSourceNat(io: CliIo, settings: PortsSettings): Promise<void> {
  const { netns } = settings;
  const conditions: Parameters<Conntrack['sweep']>[0] = [];
  const reads = (netns.length > 0 ? netns : [undefined]).map((place) => readSourceNat(place, conditions));
  requireConntrack(conditions);
  const uses = reads.flatMap((read) => read.uses);
  const rows = inOrder(uses, settings, NAT_SORTS, ({ address }) => address);
  const folded = reads.reduce((sum, read) => sum + read.folded, 0);
  const footer = `${count(uses.length)} destinations with most; ${count(folded)} flows with source NAT towards others`;
  await show(io, settings, rows, natColumns(netns.length > 0), footer);
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
    const rows = uses.map((use): NatRow => ({ ...use, netns }));
    return { uses: rows, folded, dropped: faults.truncated + faults.undecodable };
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
