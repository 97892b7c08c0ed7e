/** Puts the sections together: a frame that fits a terminal, or a report as long as it needs to be. Pure. */

import type { ViewModel } from './view-model.ts';
import { nodeOf } from './view-model.ts';
import {
  briefConditionLines,
  conditionLines,
  conntrackLines,
  headerLines,
  holderLines,
  probeLines,
  stateLines,
} from './view-sections.ts';
import type { Line } from './view-text.ts';

export interface Size {
  readonly columns: number;
  readonly rows: number;
}

const BLANK: Line = [];
/** Titles, one row, and the line that tells of the others. */
const SMALLEST_TABLE = 3;
const UNBOUNDED = Number.POSITIVE_INFINITY;

/** One screenful: at most `rows` lines, the last of them telling the keys. */
export function frameLines(model: ViewModel, size: Size): Line[] {
  const { columns, rows } = size;
  const footer: Line = [{ text: 'q quits', style: 'dim' }];
  const head = [...headerLines(model, columns), BLANK, ...tableSections(model, columns)];
  const free = rows - head.length - 1;
  const whole = conditionLines(model, columns);
  const faultRows = Math.max(1, Math.floor(free / 3));
  const faults = whole.length <= faultRows ? whole : briefConditionLines(model, faultRows);
  const sockets = nodeOf(model)?.sockets;
  const holders = (limit: number) => (sockets === undefined ? [] : holderLines(sockets, columns, limit));
  const probes = (limit: number) => probeLines(model, columns, limit);
  // The two tables share what is left, with a blank line after each; what the probes leave the holders take.
  const shared = Math.max(0, free - faults.length - (faults.length > 0 ? 1 : 0) - 2);
  const most = shared < 2 * SMALLEST_TABLE ? shared : Math.ceil(0.6 * shared);
  const probeRows = Math.min(probes(UNBOUNDED).length, Math.max(most, shared - holders(UNBOUNDED).length));
  const body = [
    ...head,
    ...section(probes(probeRows)),
    ...section(holders(shared - probeRows)),
    ...section(faults),
  ];
  return [...body.slice(0, rows - 1), footer];
}

/** Everything there is to say, in a width. */
export function reportLines(model: ViewModel, columns: number): Line[] {
  const sockets = nodeOf(model)?.sockets;
  const conditions = conditionLines(model, columns);
  return [
    ...headerLines(model, columns),
    BLANK,
    ...tableSections(model, columns),
    ...probeLines(model, columns, UNBOUNDED),
    ...(sockets === undefined ? [] : [BLANK, ...holderLines(sockets, columns, UNBOUNDED)]),
    ...(conditions.length === 0 ? [] : [BLANK, ...conditions]),
  ];
}

function tableSections(model: ViewModel, columns: number): Line[] {
  const { sockets, conntrack } = nodeOf(model) ?? {};
  return [
    ...(sockets === undefined ? [] : section(stateLines(sockets, columns))),
    ...(conntrack === undefined ? [] : section(conntrackLines(conntrack, columns))),
  ];
}

function section(lines: readonly Line[]): Line[] {
  return lines.length === 0 ? [] : [...lines, BLANK];
}
