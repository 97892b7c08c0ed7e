/** Puts the sections together: a frame that fits a terminal, or a report as long as it needs to be. Pure. */

import type { ViewModel } from './view-model.ts';
import { nodeOf } from './view-model.ts';
import {
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

/** One screenful: at most `rows` lines, the last of them telling the keys. */
export function frameLines(model: ViewModel, size: Size): Line[] {
  const { columns, rows } = size;
  const sockets = nodeOf(model)?.sockets;
  const head = [...headerLines(model, columns), BLANK, ...tableSections(model, columns)];
  const footer: Line[] = [[{ text: 'q quits', style: 'dim' }]];
  const conditions = conditionLines(model, columns);
  const free = rows - head.length - footer.length;
  const faults =
    conditions.length === 0 ? [] : [...conditions.slice(0, Math.max(2, Math.floor(free / 2))), BLANK];
  // Two tables share what is left; each needs its blank line, and what one does not use the other gets.
  const shared = Math.max(0, free - faults.length - 2);
  const allHolders = sockets === undefined ? [] : holderLines(sockets, columns, Number.POSITIVE_INFINITY);
  const allProbes = probeLines(model, columns, Number.POSITIVE_INFINITY);
  const holderRows = Math.max(Math.floor(shared / 3), shared - allProbes.length);
  const holders = sockets === undefined ? [] : holderLines(sockets, columns, holderRows);
  const probes = probeLines(model, columns, shared - Math.min(holderRows, allHolders.length));
  const body = [...head, ...section(holders), ...section(probes), ...faults];
  return [...body.slice(0, rows - footer.length), ...footer];
}

/** Everything there is to say, in a width. */
export function reportLines(model: ViewModel, columns: number): Line[] {
  const sockets = nodeOf(model)?.sockets;
  const unbounded = Number.POSITIVE_INFINITY;
  const conditions = conditionLines(model, columns);
  return [
    ...headerLines(model, columns),
    BLANK,
    ...tableSections(model, columns),
    ...(sockets === undefined ? [] : section(holderLines(sockets, columns, unbounded))),
    ...probeLines(model, columns, unbounded),
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
