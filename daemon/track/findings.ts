/**
 * What only shows when the tables are looked at as a whole: ports that run out, and where sockets and conntrack do not
 * tell the same. Looked for now and then, as it goes over every socket and every flow.
 */

import type { Condition } from '#base/errors.ts';
import type { Divergence, PortPressure, SourceNatPressure } from '#contract';
import { FOOTPRINT_MARK } from '../kernel/host-tun.ts';
import { Comparison } from './divergence.ts';
import type { FlowRow } from './flow-row.ts';
import type { FlowTable } from './flow-table.ts';
import { readNumber } from './kernel-numbers.ts';
import { localAddresses } from './local-addresses.ts';
import type { NamespaceNumbers } from './namespace-numbers.ts';
import type { NamespaceOfSockets } from './namespace-sockets.ts';
import { Pressure } from './pressure.ts';
import { unlessRefused } from './refusals.ts';
import type { SocketTable } from './socket-table.ts';

const PAUSE_MS = 5_000;
/** Where there is so much to go over that it takes long, the pause is so much longer. */
const PAUSE_FACTOR = 50;

export interface Findings {
  readonly ports?: PortPressure;
  readonly sourceNat?: SourceNatPressure;
  readonly divergence?: Divergence;
}

/** The tables as the sweep has just read them. */
export interface ReadTables {
  /** Of finwait's own network namespace; undefined when they could not be read. */
  readonly own:
    | {
        readonly inode: number;
        readonly table: SocketTable;
        readonly numbers: NamespaceNumbers;
      }
    | undefined;
  readonly others: Iterable<NamespaceOfSockets>;
  readonly flows: FlowTable;
  /** Whatever flow there was then is known. */
  readonly flowsKnownMs: number;
  /** Why the flows are not to be compared; `unreadable` when nothing is known of them. */
  readonly flowsDisbelief: 'conntrack-idle' | 'conntrack-incomplete' | 'unreadable' | undefined;
}

export class Finder {
  readonly #pressure = new Pressure();
  readonly #comparison = new Comparison();
  readonly #clock: () => number;
  #latest: Findings = {};
  #refusals: Condition[] = [];
  #nextMs = Number.NEGATIVE_INFINITY;

  /** @param clock of the sweeps, in milliseconds */
  constructor(clock = () => performance.now()) {
    this.#clock = clock;
  }

  /**
   * What was found last, or now when it is time.
   * @param between is called again and again, as it may take long; it may change the flows
   * @param conditions what stood in the way of a part of it is added here
   */
  find(tables: ReadTables, between: () => void, conditions: Condition[]): Findings {
    const nowMs = this.#clock();
    if (nowMs >= this.#nextMs) this.#look(tables, between, nowMs);
    conditions.push(...this.#refusals);
    return this.#latest;
  }

  #look(tables: ReadTables, between: () => void, nowMs: number): void {
    this.#refusals = [];
    // What is compared goes first: it is to be of the moment in which the tables were read.
    const divergence = unlessRefused(this.#refusals, () => this.#divergence(tables, between, nowMs));
    between();
    const ports = this.#ports(tables, between, nowMs);
    between();
    this.#latest = { ...divergence, ...ports, ...this.#sourceNat(tables, between, nowMs) };
    const doneMs = this.#clock();
    this.#nextMs = doneMs + Math.max(PAUSE_MS, PAUSE_FACTOR * (doneMs - nowMs));
  }

  #ports({ own, others }: ReadTables, between: () => void, nowMs: number): Findings {
    if (own?.numbers.settings === undefined) return {};
    const namespaces = [{ ...own, own: true }, ...others].map(({ table, ...namespace }) => {
      return { ...namespace, sockets: table };
    });
    return { ports: this.#pressure.ports(namespaces, between, nowMs) };
  }

  #sourceNat({ flows, flowsDisbelief }: ReadTables, between: () => void, nowMs: number): Findings {
    if (flowsDisbelief === 'unreadable') return {};
    const sourceNat = this.#pressure.sourceNat((visit) => flows.forEachFlow(visit, between), nowMs);
    return sourceNat === undefined ? {} : { sourceNat };
  }

  #divergence(
    { own, flows, flowsKnownMs, flowsDisbelief }: ReadTables,
    between: () => void,
    nowMs: number,
  ): Findings {
    if (flowsDisbelief === 'unreadable') return {};
    const tables = { sockets: own?.table, flows, knownMs: flowsKnownMs, disbelief: flowsDisbelief };
    return { divergence: divergenceOf(this.#comparison, tables, between, nowMs) };
  }
}

export interface ComparedTables {
  /** Of this network namespace; undefined when they could not be read. */
  readonly sockets: SocketTable | undefined;
  readonly flows: FlowTable;
  /** Whatever flow there was then is known. */
  readonly knownMs: number;
  /** Why the flows are not to be compared. */
  readonly disbelief: 'conntrack-idle' | 'conntrack-incomplete' | undefined;
}

/**
 * What a comparison says of tables that have just been read.
 * @param between is called again and again, as it may take long; it may change the flows
 * @param nowMs the clock of the sweeps
 */
export function divergenceOf(
  comparison: Comparison,
  { sockets, flows, knownMs, disbelief }: ComparedTables,
  between: () => void,
  nowMs: number,
): Divergence {
  const why = disbelief ?? (isWhole(sockets) ? undefined : 'sockets-incomplete');
  if (why !== undefined || sockets === undefined) return comparison.disbelieve(why ?? 'sockets-incomplete');
  const compared = {
    sockets: () => sockets.sockets(),
    forEachFlow: (visit: (flow: FlowRow) => void) => flows.forEachFlow(visit, between),
    knownMs,
    isLocal: localAddresses(),
    ownMark: FOOTPRINT_MARK,
    picksUp: readNumber('net/netfilter/nf_conntrack_tcp_loose') !== 0,
  };
  return comparison.compare(compared, nowMs);
}

/** Whether the table had room for every socket there is. */
function isWhole(table: SocketTable | undefined): boolean {
  if (table === undefined) return false;
  let count = 0;
  for (const { 4: v4, 6: v6 } of table.counts().values()) count += v4 + v6;
  return count <= table.tracked;
}
