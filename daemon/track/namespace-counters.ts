/**
 * What the kernel counts of TCP in a network namespace, /proc/PID/net/netstat and snmp: totals, and rates between two
 * readings. Both files need no rights and no entering of the namespace.
 */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CounterReading, TcpCounterName } from '#contract';
import { TCP_COUNTERS } from '#contract';
import { unlessGone } from './proc.ts';

type Totals = ReadonlyMap<TcpCounterName, number>;

const WANTED: ReadonlySet<string> = new Set(TCP_COUNTERS);

/** How far the counters of namespaces rose while they were read: a sum that does not fall when one goes away. */
export class CounterSums {
  readonly totals = new Map<TcpCounterName, number>();

  add(name: TcpCounterName, rose: number): void {
    this.totals.set(name, (this.totals.get(name) ?? 0) + rose);
  }
}

/** The counters of one namespace from reading to reading. */
export class NamespaceCounters {
  /** Whether any rose between the last two readings. */
  rising = false;
  readonly #sums: CounterSums;
  #totals: Totals = new Map();
  #before: Totals | undefined;
  #readMs = 0;
  #spanMs = 0;

  /** @param sums where its rises are added */
  constructor(sums: CounterSums) {
    this.#sums = sums;
  }

  /** @param nowMs any clock that never steps back */
  read(procRoot: string, pid: number | 'thread-self', nowMs: number): void {
    const totals = readTotals(procRoot, pid);
    if (totals === undefined) return;
    this.#before = this.#totals.size === 0 ? undefined : this.#totals;
    this.#spanMs = nowMs - this.#readMs;
    this.#totals = totals;
    this.#readMs = nowMs;
    this.rising = false;
    for (const name of totals.keys()) {
      const rose = this.#rose(name);
      if (rose === 0) continue;
      this.#sums.add(name, rose);
      this.rising = true;
    }
  }

  /** Those that are not 0. */
  readings(): Record<string, CounterReading> {
    const readings: Record<string, CounterReading> = {};
    for (const [name, total] of this.#totals) {
      if (total === 0) continue;
      const perSecond = this.perSecond(name);
      readings[name] = { total, ...(perSecond === undefined ? {} : { perSecond }) };
    }
    return readings;
  }

  total(name: TcpCounterName): number {
    return this.#totals.get(name) ?? 0;
  }

  /** Undefined after the first reading. */
  perSecond(name: TcpCounterName): number | undefined {
    if (this.#before === undefined || this.#spanMs <= 0) return undefined;
    return this.#rose(name) / (this.#spanMs / 1_000);
  }

  /** A counter that fell is that of another namespace, which got the inode of one that is gone. */
  #rose(name: TcpCounterName): number {
    return this.#before === undefined ? 0 : Math.max(0, this.total(name) - (this.#before.get(name) ?? 0));
  }
}

/** How many segments came and went in a namespace since it began. */
export interface Segments {
  readonly received: number;
  readonly sent: number;
  /** Not among those sent. */
  readonly retransmitted: number;
}

/** @returns undefined when the process has gone */
export function readSegments(procRoot: string, pid: number | 'thread-self'): Segments | undefined {
  const text = unlessGone(() => readFileSync(join(procRoot, String(pid), 'net/snmp'), 'utf8'));
  if (text === undefined) return undefined;
  const [names = [], values = []] = Array.from(text.matchAll(/^Tcp: (.*)$/gm), ([, line = '']) =>
    line.split(' '),
  );
  const total = (name: string) => Number(values[names.indexOf(name)] ?? 0);
  return { received: total('InSegs'), sent: total('OutSegs'), retransmitted: total('RetransSegs') };
}

/** @returns undefined when the process has gone */
function readTotals(procRoot: string, pid: number | 'thread-self'): Totals | undefined {
  const totals = new Map<TcpCounterName, number>();
  for (const file of ['netstat', 'snmp']) {
    const text = unlessGone(() => readFileSync(join(procRoot, String(pid), 'net', file), 'utf8'));
    if (text === undefined) return undefined;
    takeTotals(text, totals);
  }
  return totals;
}

/** Each protocol has a line of names, and a line of the same length with their values. */
function takeTotals(text: string, totals: Map<TcpCounterName, number>): void {
  const lines = text.split('\n');
  for (let at = 0; at + 1 < lines.length; at += 2) {
    const namesLine = lines[at] ?? '';
    if (!namesLine.startsWith('Tcp')) continue;
    const places = placesIn(namesLine);
    const values = (lines[at + 1] ?? '').split(' ');
    for (const [name, place] of places) {
      const value = Number(values[place]);
      if (Number.isSafeInteger(value)) totals.set(name, value);
    }
  }
}

/** The lines of names are the same in all namespaces and at all times. */
const knownPlaces = new Map<string, readonly (readonly [TcpCounterName, number])[]>();

function placesIn(namesLine: string): readonly (readonly [TcpCounterName, number])[] {
  const known = knownPlaces.get(namesLine);
  if (known !== undefined) return known;
  const places = namesLine
    .split(' ')
    .flatMap((name, place) => (WANTED.has(name) ? [[name as TcpCounterName, place] as const] : []));
  if (knownPlaces.size >= 16) knownPlaces.clear();
  knownPlaces.set(namesLine, places);
  return places;
}
