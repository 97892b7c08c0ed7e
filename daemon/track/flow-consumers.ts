/**
 * Who has the most flows, and where the kernel counts them the most bytes: by source address, and by destination address
 * and port. In bounded memory, however many addresses there are: flows are first weighed by hash, then exactly where a
 * hash weighs much.
 */

import { randomInt } from 'node:crypto';
import type { FlowConsumer, FlowDestination, FlowTraffic } from '#contract';
import { ipFromBytes } from '../wire/address.ts';
import type { FlowRow } from './flow-row.ts';
import type { FlowTable } from './flow-table.ts';

const BUCKETS = 1 << 16;
/** So many of them are looked into. */
const LOOKED_INTO = 256;
/** All zero. Made anew each time they would lie around by the dozen until the garbage is collected, half a MiB each. */
const SPARE_BUCKETS: Float64Array[] = [];

export interface FlowConsumers {
  readonly sources: readonly FlowConsumer[];
  readonly destinations: readonly FlowDestination[];
  /** Absent where the kernel does not count bytes. */
  readonly sourcesByBytes?: readonly FlowConsumer[];
  readonly destinationsByBytes?: readonly FlowDestination[];
}

/**
 * @param limit of each list, largest first
 * @param accounting whether the kernel counts packets and bytes
 */
export function findConsumers(
  table: Pick<FlowTable, 'forEachFlow'>,
  limit: number,
  accounting: boolean,
): FlowConsumers {
  // Secret, so that nobody can choose addresses that fall together.
  const seed = randomInt(2 ** 32);
  const weights = accounting ? [flowsOf, bytesOf] : [flowsOf];
  const sources = weights.map((weigh) => new Ranking(weigh));
  const destinations = weights.map((weigh) => new Ranking(weigh));
  table.forEachFlow((row) => {
    const source = hashOf(seed, row.source, 0);
    for (const ranking of sources) ranking.weigh(row, source);
    const destination = hashOf(seed, row.destination, row.destinationPort);
    for (const ranking of destinations) ranking.weigh(row, destination);
  });
  table.forEachFlow((row) => {
    const source = hashOf(seed, row.source, 0);
    for (const ranking of sources) ranking.count(row, source, row.source, 0);
    const destination = hashOf(seed, row.destination, row.destinationPort);
    for (const ranking of destinations) {
      ranking.count(row, destination, row.destination, row.destinationPort);
    }
  });
  const [bySources, bySourceBytes] = sources.map((ranking) => ranking.largest(limit).map(consumer));
  const [byDestinations, byDestinationBytes] = destinations.map((ranking) =>
    ranking.largest(limit).map((group) => ({ ...consumer(group), port: group.port })),
  );
  return {
    sources: bySources ?? [],
    destinations: byDestinations ?? [],
    ...(bySourceBytes === undefined ? {} : { sourcesByBytes: bySourceBytes }),
    ...(byDestinationBytes === undefined ? {} : { destinationsByBytes: byDestinationBytes }),
  };
}

type Traffic = { -readonly [Count in keyof FlowTraffic]: FlowTraffic[Count] };

interface Group {
  readonly bytes: Uint8Array;
  readonly port: number;
  weight: number;
  count: number;
  /** There once a flow has been counted. */
  traffic: { readonly sent: Traffic; readonly received: Traffic } | undefined;
}

/** Groups of flows by one of the weights that a flow can have. */
class Ranking {
  readonly #weightOf: (row: FlowRow) => number;
  readonly #buckets = SPARE_BUCKETS.pop() ?? new Float64Array(BUCKETS);
  /** Buckets that weigh less are not looked into, and of those that weigh just so much as many as there is room for. */
  #least: number | undefined;
  readonly #groups = new Map<string, Group>();

  constructor(weightOf: (row: FlowRow) => number) {
    this.#weightOf = weightOf;
  }

  /** To be called for all flows first. */
  weigh(row: FlowRow, hash: number): void {
    this.#buckets[hash] = (this.#buckets[hash] as number) + this.#weightOf(row);
  }

  /** To be called for all flows then. */
  count(row: FlowRow, hash: number, bytes: Uint8Array, port: number): void {
    this.#least ??= leastOf(this.#buckets);
    const inBucket = this.#buckets[hash] as number;
    if (inBucket < this.#least) return;
    const key = `${Buffer.prototype.latin1Slice.call(bytes)}${port}`;
    let group = this.#groups.get(key);
    if (group === undefined) {
      // As large as the least may be nearly all of them: when no one stands out, most have but one flow.
      if (inBucket === this.#least && this.#groups.size >= LOOKED_INTO) return;
      group = { bytes: bytes.slice(), port, weight: 0, count: 0, traffic: undefined };
      this.#groups.set(key, group);
    }
    group.count++;
    group.weight += this.#weightOf(row);
    if (row.counted) addTraffic(group, row);
  }

  /** To be called last, and once. */
  largest(limit: number): Group[] {
    SPARE_BUCKETS.push(this.#buckets.fill(0));
    return [...this.#groups.values()]
      .filter(({ weight }) => weight > 0)
      .sort((a, b) => b.weight - a.weight)
      .slice(0, limit);
  }
}

function flowsOf(): number {
  return 1;
}

function bytesOf({ sentBytes, receivedBytes }: FlowRow): number {
  return sentBytes + receivedBytes;
}

function addTraffic(group: Group, row: FlowRow): void {
  group.traffic ??= { sent: { packets: 0, bytes: 0 }, received: { packets: 0, bytes: 0 } };
  const { sent, received } = group.traffic;
  sent.packets += row.sentPackets;
  sent.bytes += row.sentBytes;
  received.packets += row.receivedPackets;
  received.bytes += row.receivedBytes;
}

function leastOf(buckets: Float64Array): number {
  const used = buckets.filter((each) => each > 0).sort();
  return used[Math.max(0, used.length - LOOKED_INTO)] ?? 0;
}

function hashOf(seed: number, bytes: Uint8Array, port: number): number {
  let hash = Math.imul(seed ^ port, 0x5bd1e995);
  for (const byte of bytes) {
    hash = Math.imul(hash ^ byte, 0x01000193);
    hash ^= hash >>> 15;
  }
  return ((hash ^ (hash >>> 16)) >>> 0) & (BUCKETS - 1);
}

function consumer({ bytes, count, traffic }: Group): FlowConsumer {
  return { address: ipFromBytes(bytes).text, count, ...traffic };
}
