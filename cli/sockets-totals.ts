/** What stands below `finwait sockets` and its groups. */

import type { TcpStateName } from '#contract';
import { TCP_STATES } from '#contract';
import type { SocketGroup } from './sockets-groups.ts';
import type { SocketRow } from './sockets-rows.ts';
import type { SocketGrouping } from './sockets-settings.ts';
import { hasDrops } from './sockets-view.ts';
import type { Line } from './view-text.ts';
import { count } from './view-text.ts';

export interface SocketTotals {
  readonly selected: readonly SocketRow[];
  /** Undefined where the kernel was not asked for all. */
  readonly total: number | undefined;
}

/** `12 of 340 sockets: 8 TIME-WAIT, 4 CLOSE-WAIT`, and what the marks in the table mean, if they occur. */
export function socketsFooter(shown: readonly SocketRow[], { selected, total }: SocketTotals): Line[] {
  // A listener has neither age nor peer in the table.
  const connections = shown.filter(({ state }) => state !== 'LISTEN');
  return footerLines({ selected, total }, shown.length, [
    shown.some(({ attribution }) => attribution === 'listener') && LISTENER_NOTE,
    ...ageNotes(connections),
    connections.some(({ queueTrend }) => queueTrend === 'growing' || queueTrend === 'shrinking') &&
      'recv-q+, recv-q-: it grew, or shrank, when it last changed',
    connections.length === 0 &&
      hasDrops(shown) &&
      'drops: since it listens; a full accept queue drops what comes next',
    connections.some(({ own }) => own) && '*: of finwait itself, or the other end of one of its probes',
  ]);
}

/** The same below groups. */
export function socketGroupsFooter(
  groups: readonly SocketGroup[],
  by: SocketGrouping,
  totals: SocketTotals,
): Line[] {
  const named = by === 'process' ? groups : [];
  return footerLines(totals, totals.selected.length, [
    named.some(({ attribution }) => attribution === 'listener') && LISTENER_NOTE,
    named.some(({ process, states }) => process === null && states['TIME-WAIT'] !== undefined) &&
      '-: no process has sockets in TIME-WAIT any more; --by destination tells towards whom they were',
    ...ageNotes(groups),
  ]);
}

const LISTENER_NOTE = '(name/pid): the process that listens on the local port';

function ageNotes(dated: readonly Pick<SocketRow, 'ageBasis'>[]): (string | false)[] {
  return [
    dated.some(({ ageBasis }) => ageBasis === 'last-ack') &&
      'age+: at least; the last segment of the peer came then',
    dated.some(({ ageBasis }) => ageBasis === 'seen') && 'age+: at least; it was first seen so then',
  ];
}

function footerLines(
  { selected, total }: SocketTotals,
  shown: number,
  notes: readonly (string | false)[],
): Line[] {
  const states = stateCounts(selected);
  const counted = TCP_STATES.flatMap((state) =>
    states[state] === undefined ? [] : [`${count(states[state])} ${state}`],
  );
  const of = total === undefined ? '' : ` of ${count(total)}`;
  const cut = shown < selected.length ? ` (${count(shown)} shown)` : '';
  const lines = [
    `${count(selected.length)}${of} sockets${cut}${counted.length === 0 ? '' : `: ${counted.join(', ')}`}`,
    ...notes.filter((note) => note !== false),
  ];
  return lines.map((text) => [{ text, style: 'dim' }]);
}

function stateCounts(rows: readonly SocketRow[]): Partial<Record<TcpStateName, number>> {
  const counts: Partial<Record<TcpStateName, number>> = {};
  for (const { state } of rows) counts[state] = (counts[state] ?? 0) + 1;
  return counts;
}
