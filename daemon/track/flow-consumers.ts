/**
 * Who has the most flows: by source address, and by destination address and port. In bounded memory, however many
 * addresses there are: flows are first counted by hash, then exactly where the hash has many.
 */

import { ipFromBytes } from '../wire/address.ts';
import type { FlowRow } from './flow-row.ts';
import type { FlowTable } from './flow-table.ts';

const BUCKETS = 1 << 16;
/** So many of them are looked into. */
const LOOKED_INTO = 256;

export interface FlowConsumer {
  readonly address: string;
  readonly count: number;
}

export interface FlowDestination extends FlowConsumer {
  readonly port: number;
}

export interface FlowConsumers {
  readonly sources: readonly FlowConsumer[];
  readonly destinations: readonly FlowDestination[];
}

interface Side {
  readonly buckets: Uint32Array;
  /** Buckets with fewer are not looked into, and of those with just so many as many as there is room for. */
  least: number;
  readonly counts: Map<string, Group>;
}

interface Group {
  readonly bytes: Uint8Array;
  readonly port: number;
  count: number;
}

/** @param limit of each list, largest first */
export function findConsumers(table: Pick<FlowTable, 'forEachFlow'>, limit: number): FlowConsumers {
  const sources = newSide();
  const destinations = newSide();
  table.forEachFlow((row) => {
    bump(sources.buckets, hashOf(row.source, 0));
    bump(destinations.buckets, hashOf(row.destination, row.destinationPort));
  });
  for (const side of [sources, destinations]) side.least = leastOf(side.buckets);
  table.forEachFlow((row: FlowRow) => {
    count(sources, row.source, 0);
    count(destinations, row.destination, row.destinationPort);
  });
  return {
    sources: largest(sources, limit).map(({ bytes, count }) => ({ address: ipFromBytes(bytes).text, count })),
    destinations: largest(destinations, limit).map(({ bytes, port, count }) => ({
      address: ipFromBytes(bytes).text,
      port,
      count,
    })),
  };
}

function newSide(): Side {
  return { buckets: new Uint32Array(BUCKETS), least: 0, counts: new Map() };
}

function bump(buckets: Uint32Array, bucket: number): void {
  buckets[bucket] = (buckets[bucket] as number) + 1;
}

function leastOf(buckets: Uint32Array): number {
  const used = buckets.filter((each) => each > 0).sort();
  return used[Math.max(0, used.length - LOOKED_INTO)] ?? 0;
}

function count({ buckets, least, counts }: Side, bytes: Uint8Array, port: number): void {
  const inBucket = buckets[hashOf(bytes, port)] as number;
  if (inBucket < least) return;
  const key = `${Buffer.prototype.latin1Slice.call(bytes)}${port}`;
  const group = counts.get(key);
  if (group !== undefined) group.count++;
  // As large as the least may be nearly all of them: when no one stands out, most have but one flow.
  else if (inBucket > least || counts.size < LOOKED_INTO) {
    counts.set(key, { bytes: bytes.slice(), port, count: 1 });
  }
}

function hashOf(bytes: Uint8Array, port: number): number {
  let hash = port + 1;
  for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193);
  return ((hash ^ (hash >>> 16)) >>> 0) & (BUCKETS - 1);
}

function largest({ counts }: Side, limit: number): Group[] {
  return [...counts.values()].sort((a, b) => b.count - a.count).slice(0, limit);
}
