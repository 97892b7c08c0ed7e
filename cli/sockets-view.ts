/** The columns of `finwait sockets`, its groups, and what its totals say. */

import { hostPortText } from '#base/host-port.ts';
import type { TcpStateName } from '#contract';
import { TCP_STATES } from '#contract';
import { CHANGE_COLUMN } from './group-changes.ts';
import type { SocketGroup } from './sockets-groups.ts';
import type { SocketRow } from './sockets-rows.ts';
import type { SocketGrouping } from './sockets-settings.ts';
import type { TableColumn } from './table.ts';
import type { Line, Span, Style } from './view-text.ts';
import { age, count, latency } from './view-text.ts';

const LEAK_AGE_MS = 600_000;

export function socketColumns(onlyListeners: boolean, allNamespaces = false): TableColumn<SocketRow>[] {
  const columns: TableColumn<SocketRow>[] = [
    { title: 'STATE', drop: 0, cell: stateCell },
    {
      title: onlyListeners ? 'ACCEPT-Q' : 'RECV-Q',
      align: 'right',
      drop: 2,
      cell: (row) => ({
        text: `${count(row.recvQueue)}${row.queueTrend === 'growing' ? '+' : row.queueTrend === 'shrinking' ? '-' : ''}`,
        ...(row.recvQueue > 0 ? { style: 'warn' as const } : {}),
      }),
    },
    {
      title: onlyListeners ? 'BACKLOG' : 'SEND-Q',
      align: 'right',
      drop: 3,
      cell: (row) => ({ text: count(row.sendQueue) }),
    },
    { title: 'LOCAL', drop: 0, min: 12, cell: (row) => ({ text: localText(row) }) },
    ...(onlyListeners
      ? []
      : [{ title: 'PEER', drop: 0, min: 12, cell: (row: SocketRow) => ({ text: peerText(row) }) }]),
    { title: 'PROCESS', drop: 0, min: 8, cell: (row) => processCell(row) },
    ...(allNamespaces ? NAMESPACE_COLUMNS : []),
    ...(onlyListeners
      ? []
      : [{ title: 'AGE', align: 'right' as const, drop: 1, cell: (row: SocketRow) => ageCell(row) }]),
    { title: 'TIMER', drop: 9, wide: true, cell: (row) => ({ text: timerText(row) }) },
    {
      title: 'RTT',
      align: 'right',
      drop: 9,
      wide: true,
      cell: (row) => ({ text: row.rttUs ? latency(row.rttUs) : '-' }),
    },
    {
      title: 'RETRANS',
      align: 'right',
      drop: 9,
      wide: true,
      cell: (row) => ({ text: row.retransmits === null ? '-' : count(row.retransmits) }),
    },
    {
      title: 'LAST-RECV',
      align: 'right',
      drop: 9,
      wide: true,
      cell: (row) => agoCell(row.lastDataReceivedMs),
    },
    { title: 'LAST-SENT', align: 'right', drop: 9, wide: true, cell: (row) => agoCell(row.lastDataSentMs) },
    { title: 'SHUT', drop: 9, wide: true, cell: (row) => ({ text: row.shutdown ?? '-' }) },
    ...TRANSMISSION_COLUMNS,
    { title: 'CC', drop: 9, wide: true, cell: (row) => ({ text: row.congestion ?? '-' }) },
    { title: 'MEM', align: 'right', drop: 9, wide: true, cell: (row) => ({ text: memoryText(row) }) },
    {
      title: 'DROPS',
      align: 'right',
      drop: 9,
      wide: true,
      cell: (row) => ({ text: row.memory === null ? '-' : count(row.memory.drops) }),
    },
    { title: 'SK', align: 'right', drop: 9, wide: true, cell: (row) => ({ text: row.cookie }) },
    { title: 'UID', align: 'right', drop: 9, wide: true, cell: (row) => ({ text: String(row.uid) }) },
    {
      title: 'INODE',
      align: 'right',
      drop: 9,
      wide: true,
      cell: (row) => ({ text: String(row.inode || '-') }),
    },
  ];
  return columns;
}

const NAMESPACE_COLUMNS: readonly TableColumn<SocketRow>[] = [
  { title: 'POD', drop: 4, min: 8, cell: ({ pod, podName }) => podCell(podName ?? pod?.uid) },
  { title: 'NETNS', align: 'right', drop: 5, cell: ({ netns }) => ({ text: String(netns) }) },
];

function podCell(uid: string | null | undefined): Span {
  return uid === null || uid === undefined ? { text: '-', style: 'dim' } : { text: uid };
}

function ofTransmission(
  title: string,
  text: (transmission: NonNullable<SocketRow['transmission']>) => string,
): TableColumn<SocketRow> {
  const cell = ({ transmission }: SocketRow) => ({ text: transmission === null ? '-' : text(transmission) });
  return { title, align: 'right', drop: 9, wide: true, cell };
}

const TRANSMISSION_COLUMNS = [
  ofTransmission('RTO', ({ rtoMs }) => latency(rtoMs * 1000)),
  ofTransmission('MSS', ({ mss }) => String(mss)),
  ofTransmission('CWND', (of) => `${of.congestionWindow}/${of.slowStartThreshold ?? '-'}`),
  ofTransmission('UNACKED', ({ unacknowledged, lost }) =>
    lost > 0 ? `${unacknowledged} (${lost} lost)` : String(unacknowledged),
  ),
  ofTransmission('RATE', ({ deliveryRate = 0 }) => (deliveryRate === 0 ? '-' : `${count(deliveryRate)} B/s`)),
] as const;

/** Taken for receiving and sending, of what each may take. */
function memoryText({ memory }: SocketRow): string {
  if (memory === null) return '-';
  return `${count(memory.receive)}/${count(memory.receiveLimit)} ${count(memory.send)}/${count(memory.sendLimit)}`;
}

export function groupColumns(by: SocketGrouping, watch = false): TableColumn<SocketGroup>[] {
  const key: Readonly<Record<SocketGrouping, readonly TableColumn<SocketGroup>[]>> = {
    process: [{ title: 'PROCESS', drop: 0, min: 8, cell: (group) => processCell(group) }],
    destination: [
      { title: 'DIRECTION', drop: 3, cell: (group) => ({ text: group.direction ?? '-' }) },
      {
        title: 'PEER',
        drop: 0,
        min: 12,
        cell: ({ peer }) => ({ text: peer ?? '-' }),
      },
      { title: 'SERVICE', align: 'right', drop: 0, cell: ({ port }) => ({ text: String(port ?? '-') }) },
    ],
    pod: [{ title: 'POD', drop: 0, min: 8, cell: ({ pod, podName }) => podCell(podName ?? pod) }],
    container: [
      { title: 'POD', drop: 2, min: 8, cell: ({ pod, podName }) => podCell(podName ?? pod) },
      {
        title: 'CONTAINER',
        drop: 0,
        min: 12,
        cell: ({ containerId }) => ({ text: containerId?.slice(0, 12) ?? '-' }),
      },
    ],
    namespace: [
      { title: 'NETNS', align: 'right', drop: 0, cell: ({ netns }) => ({ text: String(netns ?? '-') }) },
      { title: 'POD', drop: 3, min: 8, cell: ({ pod, podName }) => podCell(podName ?? pod) },
    ],
    state: [{ title: 'STATE', drop: 0, cell: (group) => ({ text: Object.keys(group.states).join(' ') }) }],
  };
  return [
    { title: 'COUNT', align: 'right', drop: 0, cell: (group) => ({ text: count(group.count) }) },
    ...(watch ? [CHANGE_COLUMN] : []),
    ...key[by],
    ...(by === 'state' ? [] : [{ title: 'STATES', drop: 0, min: 12, cell: statesCell }]),
    { title: 'OLDEST', align: 'right', drop: 1, cell: ageCell },
    {
      title: 'RECV-Q',
      align: 'right',
      drop: 2,
      cell: (group) => ({ text: count(group.recvQueue) }),
    },
  ];
}

/** `12 of 340 sockets: 8 TIME-WAIT, 4 CLOSE-WAIT`, and what the marks in the table mean, if they occur. */
export function socketsFooter(
  shown: readonly SocketRow[],
  selected: readonly SocketRow[],
  total: number,
): Line[] {
  const states = stateCounts(selected);
  const counted = TCP_STATES.flatMap((state) =>
    states[state] === undefined ? [] : [`${count(states[state])} ${state}`],
  );
  const cut = shown.length < selected.length ? ` (${count(shown.length)} shown)` : '';
  const notes = [
    shown.some((row) => row.attribution === 'listener') &&
      '(name/pid): the process that listens on the local port',
    shown.some((row) => row.ageBasis === 'last-ack') &&
      'age+: at least; the last segment of the peer came then',
    shown.some((row) => row.ageBasis === 'seen') && 'age+: at least; it was first seen so then',
    shown.some((row) => row.queueTrend === 'growing' || row.queueTrend === 'shrinking') &&
      'recv-q+, recv-q-: it grew, or shrank, when it last changed',
    shown.some((row) => row.own) && '*: of finwait itself, or the other end of one of its probes',
  ].filter((note) => note !== false);
  const lines = [
    `${count(selected.length)} of ${count(total)} sockets${cut}${counted.length === 0 ? '' : `: ${counted.join(', ')}`}`,
    ...notes,
  ];
  return lines.map((text) => [{ text, style: 'dim' }]);
}

export function stateCounts(rows: readonly SocketRow[]): Partial<Record<TcpStateName, number>> {
  const counts: Partial<Record<TcpStateName, number>> = {};
  for (const { state } of rows) counts[state] = (counts[state] ?? 0) + 1;
  return counts;
}

function stateCell({ state, ageMs }: SocketRow): Span {
  if (state !== 'CLOSE-WAIT') return { text: state };
  return { text: state, style: ageMs !== null && ageMs >= LEAK_AGE_MS ? 'bad' : 'warn' };
}

function statesCell({ states }: SocketGroup): Span {
  const style: { style?: Style } = states['CLOSE-WAIT'] === undefined ? {} : { style: 'warn' };
  return {
    text: TCP_STATES.flatMap((state) =>
      states[state] === undefined ? [] : [`${count(states[state])} ${state}`],
    ).join(', '),
    ...style,
  };
}

export function localText({
  local,
  dualStack,
  interface: name,
}: Pick<SocketRow, 'local' | 'dualStack' | 'interface'>): string {
  const on = name === null ? '' : `%${name}`;
  if (dualStack) return `*${on}:${local.port}`;
  return hostPortText(`${local.address}${on}`, local.port);
}

export function peerText({ peer, state, own }: Pick<SocketRow, 'peer' | 'state' | 'own'>): string {
  if (state === 'LISTEN') return '-';
  return `${hostPortText(peer.address, peer.port)}${own ? '*' : ''}`;
}

export function processCell({ process, attribution }: Pick<SocketRow, 'process' | 'attribution'>): Span {
  if (process === null) return { text: '-', style: 'dim' };
  const text = `${process.name}/${process.pid}`;
  return { text: attribution === 'listener' ? `(${text})` : text };
}

function ageCell({ ageMs, ageBasis }: Pick<SocketRow, 'ageMs' | 'ageBasis'>): Span {
  if (ageMs === null) return { text: '-', style: 'dim' };
  return { text: `${age(ageMs)}${ageBasis === 'time-wait-timer' ? '' : '+'}` };
}

function agoCell(ms: number | null): Span {
  return { text: ms === null ? '-' : age(ms) };
}

function timerText({ timer }: SocketRow): string {
  if (timer === null) return '-';
  const tries = timer.retransmits > 0 ? ` (${timer.retransmits} tries)` : '';
  return `${timer.kind} in ${(timer.expiresMs / 1000).toFixed(1)}s${tries}`;
}
