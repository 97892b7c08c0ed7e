/** The columns of `finwait sockets`, its groups, and what its totals say. */

import { hostPortText } from '#base/host-port.ts';
import { TCP_STATES } from '#contract';
import { CHANGE_COLUMN } from './group-changes.ts';
import type { SocketGroup } from './sockets-groups.ts';
import type { SocketRow } from './sockets-rows.ts';
import { isFull } from './sockets-rows.ts';
import type { SocketGrouping, SocketRowKey } from './sockets-settings.ts';
import type { TableColumn } from './table.ts';
import type { Span, Style } from './view-text.ts';
import { age, count, latency } from './view-text.ts';

const LEAK_AGE_MS = 600_000;

export interface SocketColumns {
  readonly listening?: boolean;
  readonly allNamespaces?: boolean;
  /** The column of it is shown. */
  readonly sort?: SocketRowKey | undefined;
}

/** @param rows those that are shown: columns which say nothing of them go first, or are not there */
export function socketColumns(
  rows: readonly SocketRow[],
  { listening = false, allNamespaces = false, sort }: SocketColumns,
): TableColumn<SocketRow>[] {
  const title = sort === undefined ? undefined : (TITLES[sort] ?? sort.toUpperCase());
  return columnsOf(rows, listening, allNamespaces || sort === 'pod' || sort === 'netns').map((column) => {
    if (column.wide !== true || column.title !== title) return column;
    const { wide: _, ...shown } = column;
    return { ...shown, drop: 1 };
  });
}

/** Titles of columns that are not named as the key they are sorted by. */
const TITLES: Readonly<Partial<Record<SocketRowKey, string>>> = {
  retransmits: 'RETRANS',
  shutdown: 'SHUT',
  congestion: 'CC',
  memory: 'MEM',
};

function columnsOf(
  rows: readonly SocketRow[],
  onlyListeners: boolean,
  allNamespaces: boolean,
): TableColumn<SocketRow>[] {
  const dropped = onlyListeners && hasDrops(rows);
  return [
    { title: 'STATE', drop: 0, cell: stateCell },
    {
      title: onlyListeners ? 'ACCEPT-Q' : 'RECV-Q',
      align: 'right',
      drop: rows.some(({ recvQueue }) => recvQueue > 0) ? 2 : 6,
      cell: (row) => ({
        text: `${count(row.recvQueue)}${row.queueTrend === 'growing' ? '+' : row.queueTrend === 'shrinking' ? '-' : ''}`,
        ...(isFull(row) ? { style: 'bad' as const } : row.recvQueue > 0 ? { style: 'warn' as const } : {}),
      }),
    },
    {
      title: onlyListeners ? 'BACKLOG' : 'SEND-Q',
      align: 'right',
      drop: rows.some(({ sendQueue }) => sendQueue > 0) ? 3 : 7,
      cell: (row) => ({ text: count(row.sendQueue) }),
    },
    ...(dropped ? [{ ...DROPS, drop: 1 }] : []),
    { title: 'LOCAL', drop: 0, whole: true, cell: (row) => ({ text: localText(row) }) },
    ...(onlyListeners ? [] : [PEER]),
    { title: 'PROCESS', drop: 0, min: 12, keepEnd: '/', cell: (row) => processCell(row) },
    ...(allNamespaces ? NAMESPACE_COLUMNS : []),
    ...(onlyListeners
      ? []
      : [{ title: 'AGE', align: 'right' as const, drop: 1, cell: (row: SocketRow) => ageCell(row) }]),
    ...(onlyListeners ? [] : CONNECTION_COLUMNS),
    { title: 'CC', drop: 9, wide: true, cell: (row) => ({ text: row.congestion ?? '-' }) },
    { title: 'MEM', align: 'right', drop: 9, wide: true, cell: (row) => ({ text: memoryText(row) }) },
    ...(dropped ? [] : [{ ...DROPS, drop: 9, wide: true as const }]),
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
}

export function hasDrops(rows: readonly SocketRow[]): boolean {
  return rows.some(({ memory }) => memory !== null && memory.drops > 0);
}

const PEER: TableColumn<SocketRow> = {
  title: 'PEER',
  drop: 0,
  whole: true,
  cell: (row) => ({ text: peerText(row) }),
};

const DROPS: Omit<TableColumn<SocketRow>, 'drop'> = {
  title: 'DROPS',
  align: 'right',
  cell: ({ memory }) => ({
    text: memory === null ? '-' : count(memory.drops),
    ...(memory !== null && memory.drops > 0 ? { style: 'bad' as const } : {}),
  }),
};

const NAMESPACE_COLUMNS: readonly TableColumn<SocketRow>[] = [
  // Of a UID the first eight characters tell it apart, and --pod takes them.
  { title: 'POD', drop: 4, min: 9, cell: ({ pod, podName }) => podCell(podName ?? pod?.uid) },
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

const CONNECTION_COLUMNS: readonly TableColumn<SocketRow>[] = [
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
];

/** Taken for receiving and sending, of what each may take. */
function memoryText({ memory }: SocketRow): string {
  if (memory === null) return '-';
  return `${count(memory.receive)}/${count(memory.receiveLimit)} ${count(memory.send)}/${count(memory.sendLimit)}`;
}

export function groupColumns(by: SocketGrouping, watch = false): TableColumn<SocketGroup>[] {
  const key: Readonly<Record<SocketGrouping, readonly TableColumn<SocketGroup>[]>> = {
    process: [{ title: 'PROCESS', drop: 0, min: 8, cell: (group) => processCell(group) }],
    destination: [
      DIRECTION,
      { title: 'PEER', drop: 0, whole: true, cell: ({ peer }) => ({ text: peer ?? '-' }) },
      SERVICE,
    ],
    port: [{ ...DIRECTION, drop: 0 }, SERVICE],
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

const DIRECTION: TableColumn<SocketGroup> = {
  title: 'DIRECTION',
  drop: 3,
  cell: (group) => ({ text: group.direction ?? '-' }),
};

const SERVICE: TableColumn<SocketGroup> = {
  title: 'SERVICE',
  align: 'right',
  drop: 0,
  cell: ({ port }) => ({ text: String(port ?? '-') }),
};

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
