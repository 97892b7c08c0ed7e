/** Puts the sections together: a frame that fits a terminal, or a report as long as it needs to be. Pure. */

import { holderLines } from './view-holders.ts';
import type { ViewModel } from './view-model.ts';
import { nodeOf } from './view-model.ts';
import { probeLines } from './view-probes.ts';
import {
  briefConditionLines,
  briefHeaderLines,
  briefStateLine,
  conditionLines,
  conntrackLines,
  headerLines,
  stateLines,
} from './view-sections.ts';
import type { Line } from './view-text.ts';

export interface Size {
  readonly columns: number;
  readonly rows: number;
}

const BLANK: Line = [];
const UNBOUNDED = Number.POSITIVE_INFINITY;
/** Lines that the probes and the holders together should have before the rest may be roomy. */
const TABLES_WANTED = 10;

/** One screenful: at most `rows` lines, the last of them telling the keys. */
export function frameLines(model: ViewModel, { columns, rows }: Size): Line[] {
  const node = nodeOf(model);
  const holders = (limit: number) => (node === undefined ? [] : holderLines(node, columns, limit));
  const probes = (limit: number) => probeLines(model, columns, limit);
  const wanted = { probes: probes(UNBOUNDED).length, holders: holders(UNBOUNDED).length };
  const roomy = [...headerLines(model, columns), BLANK, ...tableSections(model, columns)];
  const enough = Math.min(TABLES_WANTED, wanted.probes + wanted.holders) + 3;
  const tight = rows - 1 - roomy.length - faultLines(model, columns, rows).length < enough;
  const head = tight ? briefHead(model, columns) : roomy;
  const free = rows - 1 - head.length;
  const faults = faultLines(model, columns, free);
  const gap = tight && free - faults.length - 3 < wanted.probes + wanted.holders ? [] : [BLANK];
  const shared = Math.max(0, free - faults.length - 3 * gap.length);
  const probeRows = fairShare(shared, wanted.probes, wanted.holders);
  const body = [
    ...head,
    ...probes(probeRows),
    ...gap,
    ...holders(shared - probeRows),
    ...gap,
    ...(faults.length === 0 ? [] : [...faults, ...gap]),
  ];
  return [...body.slice(0, rows - 1), [{ text: 'q quits', style: 'dim' }]];
}

/** Lines for the first of two: what the second leaves, and six of ten when both want more than there is. */
function fairShare(shared: number, first: number, second: number): number {
  return Math.min(first, Math.max(Math.ceil(0.6 * shared), shared - second));
}

/** Faults in a third of the free lines: with what to do about them if that fits. */
function faultLines(model: ViewModel, columns: number, free: number): Line[] {
  const whole = conditionLines(model, columns);
  const limit = Math.max(1, Math.floor(free / 3));
  return whole.length <= limit ? whole : briefConditionLines(model, limit);
}

/** A line for each section, for small terminals. */
function briefHead(model: ViewModel, columns: number): Line[] {
  const { sockets, conntrack } = nodeOf(model) ?? {};
  return [
    ...briefHeaderLines(model, columns),
    ...(sockets === undefined ? [] : [briefStateLine(sockets)]),
    ...(conntrack === undefined ? [] : conntrackLines(conntrack, columns).slice(0, 1)),
  ];
}

/** Everything there is to say, in a width. */
export function reportLines(model: ViewModel, columns: number): Line[] {
  const node = nodeOf(model);
  const conditions = conditionLines(model, columns);
  return [
    ...headerLines(model, columns),
    BLANK,
    ...tableSections(model, columns),
    ...probeLines(model, columns, UNBOUNDED),
    ...(node?.sockets === undefined ? [] : [BLANK, ...holderLines(node, columns, UNBOUNDED)]),
    ...(conditions.length === 0 ? [] : [BLANK, ...conditions]),
  ];
}

function tableSections(model: ViewModel, columns: number): Line[] {
  const { sockets, conntrack } = nodeOf(model) ?? {};
  return [
    ...(sockets === undefined ? [] : [...stateLines(sockets, columns), BLANK]),
    ...(conntrack === undefined ? [] : [...conntrackLines(conntrack, columns), BLANK]),
  ];
}
