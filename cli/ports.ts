/** `finwait ports`: how near connections are to having no local port left, by destination; needs no agent. */

import { hostPortText } from '#base/host-port.ts';
import { readSettings } from '#base/settings.ts';
import type { Endpoint } from '#contract';
import { noNetlinkFaults } from '../daemon/kernel/netlink-socket.ts';
import { Conntrack } from '../daemon/track/conntrack.ts';
import { readNamespaceSettings } from '../daemon/track/namespace-settings.ts';
import type { PortUse } from '../daemon/track/port-pressure.ts';
import { portUses } from '../daemon/track/port-pressure.ts';
import { assignablePorts, portRulesOf } from '../daemon/track/port-rules.ts';
import type { SourceNatUses } from '../daemon/track/source-nat.ts';
import { sourceNatUses } from '../daemon/track/source-nat.ts';
import type { CommandHelp } from './help.ts';
import { asksForHelp, helpText, refusePositionals } from './help.ts';
import type { CliIo } from './io.ts';
import { EXIT } from './io.ts';
import { readOwnSockets } from './own-sockets.ts';
import type { PortsSettings } from './ports-settings.ts';
import { PORTS_SETTINGS } from './ports-settings.ts';
import type { TableColumn } from './table.ts';
import { incompleteAnswer, passes, printConditions, printJson, printTable } from './table.ts';
import type { Line } from './view-text.ts';
import { count } from './view-text.ts';

const HELP: CommandHelp = {
  usage: 'finwait ports [options]',
  about: [
    'Lists how many of the local ports are in use towards each destination, in this network namespace. A connection is',
    'known by both its ends, so each source address has the whole range towards each destination. Where USED reaches',
    'USABLE, connect(2) fails with EADDRNOTAVAIL.',
  ].join('\n'),
  settings: PORTS_SETTINGS,
  examples: [
    ['finwait ports --limit 10', 'the destinations with the largest part in use'],
    ['finwait ports --nat', 'ports of masqueraded addresses, and who uses them'],
    ['finwait ports --port 5432 --json', 'those towards a database'],
  ],
  notes: [
    'REUSABLE are in TIME-WAIT and given to new connections (net.ipv4.tcp_tw_reuse). BOUND were bound without\n' +
      'IP_BIND_ADDRESS_NO_PORT, and so are taken from every other destination as well. --nat needs CAP_NET_ADMIN.',
  ],
};

type NatUse = SourceNatUses['uses'][number];
/** What both kinds have. */
type Use = Pick<PortUse, 'destination' | 'used' | 'usable'>;

export async function runPorts(args: readonly string[], io: CliIo): Promise<number> {
  if (asksForHelp(args)) {
    io.stdout.write(helpText(HELP));
    return EXIT.ok;
  }
  const { settings, positionals } = readSettings(PORTS_SETTINGS, args, io.env);
  refusePositionals(positionals);
  if (settings.nat) printSourceNat(io, settings);
  else printPorts(io, settings);
  return EXIT.ok;
}

function printPorts(io: CliIo, settings: PortsSettings): void {
  const nowMs = performance.now();
  const { table, dropped } = readOwnSockets(nowMs);
  const rules = portRulesOf(readNamespaceSettings());
  const uses = portUses(table.sockets(), rules, nowMs);
  const rows = inOrder(uses, settings, ({ source }) => source);
  const reserved = rules.reserved.length === 0 ? '' : ' less the reserved ones';
  const footer = `${count(uses.length)} destinations; ports ${rules.low} to ${rules.high}${reserved}: ${count(assignablePorts(rules))}; tcp_tw_reuse ${rules.twReuse}`;
  show(io, settings, { rows, columns: portColumns, footer });
  printConditions(io, incompleteAnswer(dropped));
}

function printSourceNat(io: CliIo, settings: PortsSettings): void {
  const faults = noNetlinkFaults();
  using conntrack = new Conntrack({ faults });
  const conditions: Parameters<Conntrack['sweep']>[0] = [];
  conntrack.sweep(conditions);
  const { uses, folded } = sourceNatUses((visit) => conntrack.table.forEachFlow(visit));
  const rows = inOrder(uses, settings, ({ address }) => address);
  const footer = `${count(uses.length)} destinations with most; ${count(folded)} flows with source NAT towards others`;
  show(io, settings, { rows, columns: natColumns, footer });
  printConditions(io, [...conditions, ...incompleteAnswer(faults.truncated + faults.undecodable)]);
}

/** Those that pass the filters, the largest part in use first. */
function inOrder<U extends Use>(uses: readonly U[], settings: PortsSettings, from: (use: U) => string): U[] {
  const { address, port, reverse, limit } = settings;
  const rows = uses.filter(
    (use) =>
      passes(address, ({ matches }) => matches(from(use)) || matches(use.destination.address)) &&
      passes(port, (each) => each === use.destination.port),
  );
  rows.sort((a, b) => part(b) - part(a) || b.used - a.used);
  return (reverse ? rows.reverse() : rows).slice(0, limit);
}

function show<U extends Use>(
  io: CliIo,
  settings: PortsSettings,
  { rows, columns, footer }: { rows: readonly U[]; columns: readonly TableColumn<U>[]; footer: string },
): void {
  const lines: Line[] = [[{ text: footer, style: 'dim' }]];
  if (settings.json || settings.output === 'json') printJson(io, rows);
  else printTable(io, { columns, rows, footer: lines }, settings);
}

function part({ used, usable }: Use): number {
  return usable === 0 ? 0 : used / usable;
}

function text<U>(title: string, cell: (use: U) => string): TableColumn<U> {
  return { title, drop: 0, min: 12, cell: (use) => ({ text: cell(use) }) };
}

function number<U>(title: string, drop: number, cell: (use: U) => number): TableColumn<U> {
  return { title, drop, align: 'right', cell: (use) => ({ text: count(cell(use)) }) };
}

const END = ({ address, port }: Endpoint): string => hostPortText(address, port);
const USED: TableColumn<Use> = {
  title: 'USED',
  drop: 0,
  align: 'right',
  cell: (use) => ({
    text: `${Math.round(100 * part(use))} %`,
    ...(part(use) >= 0.85 ? { style: 'bad' as const } : part(use) >= 0.6 ? { style: 'warn' as const } : {}),
  }),
};

const portColumns: readonly TableColumn<PortUse>[] = [
  USED,
  number('PORTS', 0, ({ used }) => used),
  number('USABLE', 0, ({ usable }) => usable),
  text('SOURCE', ({ source }) => source),
  text('DESTINATION', ({ destination }) => END(destination)),
  number('TIME-WAIT', 1, ({ timeWait }) => timeWait),
  number('REUSABLE', 3, ({ reusable }) => reusable),
  number('BOUND', 2, ({ bound }) => bound),
];

const natColumns: readonly TableColumn<NatUse>[] = [
  USED,
  number('PORTS', 0, ({ used }) => used),
  number('USABLE', 0, ({ usable }) => usable),
  text('AS', ({ address }) => address),
  text('DESTINATION', ({ destination }) => END(destination)),
  number('OVER', 2, ({ waiting }) => waiting),
  text('USED BY', ({ consumers }) =>
    consumers.map(({ source, count: ports }) => `${source} ${count(ports)}`).join(', '),
  ),
];
