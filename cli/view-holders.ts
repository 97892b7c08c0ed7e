/** Who holds sockets in TIME-WAIT and CLOSE-WAIT, as the live view, the report and the plain lines tell it. Pure. */

import { hostPortText } from '#base/host-port.ts';
import type { Holder, Listener } from '#contract';
import type { NodeView } from '../operator/fleet/view.ts';
import { processText } from './view-model.ts';
import type { Column } from './view-table.ts';
import { boundedTable } from './view-table.ts';
import type { Line, Span } from './view-text.ts';
import { age, count } from './view-text.ts';

/** A group of the report, or several that differ only in a port that the kernel chose. */
export interface HolderRow extends Holder {
  /** Ports that were folded into this row. */
  readonly ports: number;
  /** It is of finwait itself, or the other end of one of its probes. */
  readonly own: boolean;
  /** Who listens at the other end, when that is on this machine and the owner is not known. */
  readonly listener?: Listener;
}

const HOLDER_COLUMNS: readonly Column[] = [
  { title: 'waiting in', drop: 0 },
  { title: 'count', align: 'right', drop: 0 },
  { title: 'oldest', align: 'right', drop: 1 },
  { title: 'process', min: 12, drop: 0, keepEnd: '/' },
  { title: 'connection', min: 16, drop: 0 },
  { title: 'attribution', drop: 2 },
];
/** Of rows of other network namespaces. */
const NETWORK_COLUMN: Column = { title: 'network', drop: 1 };

/** From here on Linux gives ports to clients: net.ipv4.ip_local_port_range as it is by default. */
const EPHEMERAL_FROM = 32_768;

/** CLOSE-WAIT first, since it does not end by itself; largest first, finwait's own last. */
export function holderRows(node: NodeView): HolderRow[] {
  const { holders = [], listeners = [] } = node.sockets ?? {};
  const engine = new Set(node.probes.map(({ local }) => local.address));
  const rows = holders.map((holder): HolderRow => {
    const listener = holder.process === null ? peerListener(holder, listeners) : undefined;
    const own = engine.has(holder.peer) || (holder.process?.name.startsWith('finwait') ?? false);
    return { ...holder, ports: 1, own, ...(listener === undefined ? {} : { listener }) };
  });
  const folded = [...Map.groupBy(rows, foldKey).values()].map(fold);
  const rank = ({ own, state }: HolderRow) => (own ? 2 : state === 'CLOSE-WAIT' ? 0 : 1);
  return folded.sort((a, b) => rank(a) - rank(b) || b.count - a.count);
}

/** TIME-WAIT towards a port that nobody listens on any more is one of many: the port says nothing. */
function foldKey(row: HolderRow): string {
  const { state, direction, process, attribution, peer, port, listener, netns, pod } = row;
  const nameless = state === 'TIME-WAIT' && direction === 'outbound' && port >= EPHEMERAL_FROM && !listener;
  return `${state} ${direction} ${process?.pid} ${attribution} ${peer} ${nameless ? '' : port} ${netns} ${pod?.uid}`;
}

function fold(rows: readonly HolderRow[]): HolderRow {
  const [first] = rows;
  if (first === undefined) throw new Error('a group has members');
  return {
    ...first,
    ports: rows.length,
    count: rows.reduce((sum, row) => sum + row.count, 0),
    oldestMs: Math.max(...rows.map((row) => row.oldestMs)),
  };
}

/** The socket at the other end of a connection within this machine. */
function peerListener(
  { direction, peer, port }: Holder,
  listeners: readonly Listener[],
): Listener | undefined {
  if (direction !== 'outbound') return undefined;
  const here = listeners.filter(({ local }) => local.port === port);
  const loopback = /^127\.|^::1$/.test(peer);
  const any = here.find(({ local }) => loopback && /^(0\.0\.0\.0|::)$/.test(local.address));
  return here.find(({ local }) => local.address === peer) ?? any;
}

/** At most `rows` lines. */
export function holderLines(node: NodeView, columns: number, rows: number): Line[] {
  if (node.sockets === undefined || rows < 1) return [];
  const list = holderRows(node);
  if (list.length === 0) return [[{ text: 'no socket is in TIME-WAIT or CLOSE-WAIT', style: 'dim' }]];
  const elsewhere = list.some((row) => networkText(row) !== '');
  const spans = list.map((row): Span[] => [
    { text: row.state, ...(row.state === 'CLOSE-WAIT' ? { style: row.own ? 'dim' : 'warn' } : {}) },
    { text: count(row.count) },
    { text: age(row.oldestMs) },
    { text: processText(row.process) },
    { text: holderPath(row) },
    ...(elsewhere ? [{ text: networkText(row) }] : []),
    { text: attributionText(row), style: 'dim' },
  ]);
  const folded = node.sockets.folded.map(
    (each) => `${count(each.sockets)} ${each.state} in ${count(each.groups)} smaller groups`,
  );
  const notes = [
    ...(folded.length === 0 ? [] : [`and ${folded.join(', ')}`]),
    ...(list.some(({ own }) => own) ? ['*: of finwait itself, or the other end of one of its probes'] : []),
  ];
  const [worst] = list;
  const summary = `holders  ${count(list.length)} groups; ${worst === undefined ? '' : holderText(worst)}`;
  const shown = elsewhere ? HOLDER_COLUMNS.toSpliced(-1, 0, NETWORK_COLUMN) : HOLDER_COLUMNS;
  return boundedTable(shown, spans, { notes, summary }, columns, rows);
}

/** `CLOSE-WAIT 12, java/4211, → 10.0.0.5:5432, oldest 3m12s` */
export function holderText(row: HolderRow): string {
  const known = row.attribution === 'socket' ? '' : ` (${attributionText(row)})`;
  const who = row.process === null ? attributionText(row) : `${processText(row.process)}${known}`;
  const network = networkText(row);
  const where = network === '' ? '' : `, ${network}`;
  return `${row.state} ${count(row.count)}, ${who}, ${holderPath(row)}${where}, oldest ${age(row.oldestMs)}`;
}

/** Where the sockets lead: `→ 10.0.0.7:443` outbound, `:8080 ← 10.0.0.7` inbound; `*` marks finwait's own. */
export function holderPath({ direction, peer, port, ports, own }: HolderRow): string {
  const mark = own ? '*' : '';
  if (direction === 'inbound') return `:${port} ← ${peer}${mark}`;
  return ports > 1 ? `→ ${peer}, ${count(ports)} high ports${mark}` : `→ ${hostPortText(peer, port)}${mark}`;
}

/** Whose network it is, as far as `finwait sockets --pod` and `--netns` need it; '' for that of finwait itself. */
export function networkText({ pod, netns }: Holder): string {
  if (pod !== undefined) return `pod ${pod.uid.slice(0, 8)}`;
  return netns === undefined ? '' : `netns ${netns}`;
}

/** How the process is known, in words. */
function attributionText({ attribution, listener }: HolderRow): string {
  if (listener !== undefined) return `owner unknown, to ${processText(listener.process)}`;
  const words = {
    socket: 'owns the socket',
    'last-owner': 'owned it last',
    listener: 'listens on the port',
    unknown: 'owner unknown',
  } as const;
  return words[attribution];
}
