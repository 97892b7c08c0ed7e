/** The columns of `finwait conntrack`, its groups, and what its totals say. */

import { hostPortText } from '#base/host-port.ts';
import type { Endpoint } from '#contract';
import type { FlowGroup } from './conntrack-groups.ts';
import type { FlowTotals, WatchedFill } from './conntrack-reader.ts';
import type { FlowHolder, FlowRow } from './conntrack-rows.ts';
import { FLOW_STATE_NAMES, OFFLOADED } from './conntrack-rows.ts';
import type { FlowGrouping } from './conntrack-settings.ts';
import { CHANGE_COLUMN } from './group-changes.ts';
import { processCell } from './sockets-view.ts';
import type { TableColumn } from './table.ts';
import type { Line, Span } from './view-text.ts';
import { age, count, percent } from './view-text.ts';

/** The columns that say something: what the kernel does not keep, or no row has, is left out unless all are wanted. */
export function flowColumns(rows: readonly FlowRow[], owners = false): TableColumn<FlowRow>[] {
  const unless = (some: boolean) => (some ? {} : { wide: true as const });
  return [
    { title: 'STATE', drop: 0, cell: ({ state }) => ({ text: state ?? OFFLOADED }) },
    { title: 'LEFT', align: 'right', drop: 2, cell: (row) => agoCell(row.timeoutMs) },
    { title: 'IDLE', align: 'right', drop: 3, cell: (row) => agoCell(row.idleMs) },
    {
      title: 'AGE',
      align: 'right',
      drop: 4,
      ...unless(rows.some((row) => row.ageMs !== null)),
      cell: (row) => agoCell(row.ageMs),
    },
    { title: 'SOURCE', drop: 0, whole: true, cell: ({ source }) => ({ text: endText(source) }) },
    {
      title: 'DESTINATION',
      drop: 0,
      whole: true,
      cell: ({ destination }) => ({ text: endText(destination) }),
    },
    {
      title: 'NAT',
      drop: 0,
      whole: true,
      ...unless(rows.some((row) => row.natSource !== null || row.natDestination !== null)),
      cell: natCell,
    },
    ...(owners
      ? [
          { title: 'OPENED-BY', drop: 0, min: 12, cell: ({ opener }: FlowRow) => holderCell(opener) },
          { title: 'ACCEPTED-BY', drop: 0, min: 12, cell: ({ acceptor }: FlowRow) => holderCell(acceptor) },
        ]
      : []),
    { title: 'MARK', drop: 5, ...unless(rows.some((row) => row.mark !== 0)), cell: markCell },
    {
      title: 'PACKETS',
      align: 'right',
      drop: 7,
      ...unless(rows.some((row) => row.sent !== null)),
      cell: ({ sent, received }) => pairCell(sent?.packets, received?.packets),
    },
    {
      title: 'BYTES',
      align: 'right',
      drop: 6,
      ...unless(rows.some((row) => row.sent !== null)),
      cell: ({ sent, received }) => pairCell(sent?.bytes, received?.bytes),
    },
    { title: 'FLAGS', drop: 8, wide: true, cell: flagsCell },
    { title: 'FIRST-FIN', drop: 9, wide: true, cell: ({ closedFirst }) => ({ text: closedFirst ?? '-' }) },
    {
      title: 'ZONE',
      align: 'right',
      drop: 3,
      ...unless(rows.some(({ zone }) => zone !== 0)),
      cell: ({ zone }) => ({ text: String(zone) }),
    },
  ];
}

export function flowGroupColumns(
  by: FlowGrouping,
  groups: readonly FlowGroup[],
  watch = false,
): TableColumn<FlowGroup>[] {
  const key: Readonly<Record<FlowGrouping, TableColumn<FlowGroup>>> = {
    state: { title: 'STATE', drop: 0, cell: (group) => ({ text: Object.keys(group.states).join(' ') }) },
    source: { title: 'SOURCE', drop: 0, cell: ({ source }) => ({ text: source ?? '-' }) },
    process: {
      title: 'PROCESS',
      drop: 0,
      cell: (group) => processCell(group),
    },
    pod: { title: 'POD', drop: 0, min: 12, cell: ({ pod, podName }) => ({ text: podName ?? pod ?? '-' }) },
    zone: { title: 'ZONE', align: 'right', drop: 0, cell: ({ zone }) => ({ text: String(zone) }) },
    destination: {
      title: 'DESTINATION',
      drop: 0,
      cell: ({ destination, port }) => ({ text: hostPortText(destination ?? '-', port ?? 0) }),
    },
  };
  return [
    { title: 'COUNT', align: 'right', drop: 0, cell: (group) => ({ text: count(group.count) }) },
    ...(watch ? [CHANGE_COLUMN] : []),
    key[by],
    ...(by === 'state' ? [] : [{ title: 'STATES', drop: 0, min: 12, cell: statesCell }]),
    {
      title: 'BYTES',
      align: 'right',
      drop: 1,
      ...(groups.some(({ bytes }) => bytes !== null) ? {} : { wide: true as const }),
      cell: ({ bytes }) => ({ text: bytes === null ? '-' : count(bytes) }),
    },
  ];
}

export const NO_USE = 'no rule of this network namespace seems to use conntrack';

/** What is shown of what there is; how full the table is. */
export function flowsFooter({ selected, all, own, others, fill }: FlowTotals, shown = selected): Line[] {
  const cut = shown < selected ? ` (${count(shown)} shown)` : '';
  const parts = [
    `${count(selected)} of ${count(all)} TCP flows${cut}`,
    ...(own === 0 ? [] : [`${count(own)} of finwait`]),
    ...(others === 0 ? [] : [`${count(others)} of other protocols left out`]),
  ];
  const idle = fill.count === 0 ? `; ${NO_USE}` : '';
  return [
    [{ text: parts.join(', '), style: 'dim' }],
    [
      {
        text: `${fillText(fill)}${idle}`,
        style: fill.count >= 0.75 * fill.max ? 'bad' : 'dim',
      },
    ],
  ];
}

/** What the column PROCESS of the groups means where it is no plain name. */
export function flowGroupsFooter(by: FlowGrouping, groups: readonly FlowGroup[]): Line[] {
  if (by !== 'process') return [];
  const notes = [
    groups.some(({ attribution }) => attribution === 'listener') &&
      '(name/pid): the process that listens on the port that others connect to; it has no socket of these',
    groups.some(({ process }) => process === null) &&
      '-: opened by what has no socket of it here, as after the end of a connection; --by pod, source or destination tells more',
  ];
  return notes.filter((each) => each !== false).map((text) => [{ text, style: 'dim' }]);
}

/** `table: 120 / 262,144 (0.05 %), +23/s, full in 3h09m` */
export function fillText({ count: flows, max, growthPerS, toFullMs }: WatchedFill): string {
  const growth = growthPerS === undefined ? '' : `, ${growthText(growthPerS)}`;
  const full = toFullMs === undefined ? '' : `, full in ${age(toFullMs)}`;
  if (max === 0) return `table: ${count(flows)}, without a bound${growth}`;
  return `table: ${count(flows)} / ${count(max)} (${percent(flows, max)})${growth}${full}`;
}

/** `+23/s`, `-5/min` */
function growthText(perS: number): string {
  const [amount, unit] = Math.abs(perS) < 1 ? [Math.abs(perS) * 60, 'min'] : [Math.abs(perS), 's'];
  if (Math.round(amount) === 0) return 'steady';
  return `${perS > 0 ? '+' : '-'}${count(Math.round(amount))}/${unit}`;
}

export function endText({ address, port }: Endpoint): string {
  return hostPortText(address, port);
}

/** Where it really goes, and as whom it comes. */
export function natCell({ natDestination, natSource }: Pick<FlowRow, 'natDestination' | 'natSource'>): Span {
  const to = natDestination === null ? [] : [`to ${endText(natDestination)}`];
  const as = natSource === null ? [] : [`as ${endText(natSource)}`];
  return { text: [...to, ...as].join(' ') || '-' };
}

/** `default/web-0 nginx/812`; in parentheses who does not hold the socket but listens on its port. */
function holderCell(holder: FlowHolder | null): Span {
  if (holder === null) return { text: '-', style: 'dim' };
  const { process, attribution, pod, podName } = holder;
  const name = process === null ? '' : processCell({ process, attribution }).text;
  const parts = [podName ?? pod?.uid ?? '', name];
  return { text: parts.filter((part) => part !== '').join(' ') || '-' };
}

function markCell({ mark, own }: FlowRow): Span {
  if (own) return { text: 'finwait' };
  return { text: mark === 0 ? '-' : `0x${mark.toString(16)}` };
}

function pairCell(sent: number | undefined, received: number | undefined): Span {
  if (sent === undefined || received === undefined) return { text: '-' };
  return { text: `${count(sent)}/${count(received)}` };
}

function flagsCell({ replied, assured }: FlowRow): Span {
  if (!replied) return { text: 'unreplied' };
  return { text: assured ? 'assured' : '-' };
}

function statesCell({ states }: FlowGroup): Span {
  const text = FLOW_STATE_NAMES.flatMap((state) =>
    states[state] === undefined ? [] : [`${count(states[state])} ${state}`],
  );
  return { text: text.join(', ') };
}

function agoCell(ms: number | null): Span {
  return ms === null ? { text: '-', style: 'dim' } : { text: age(ms) };
}
