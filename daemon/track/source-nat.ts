/**
 * The ports of addresses that source NAT puts in place of others: how many of those towards one destination are
 * taken, and by whom. Conntrack tells by the tuple that answers carry. net/netfilter/nf_nat_core.c
 */

import type { SourceNatUse } from '#contract';
import { PRESSURE_LIMITS } from '#contract';
import { CONNTRACK_TCP_STATES, STATUS } from '../netlink/ctnetlink.ts';
import { ipFromBytes } from '../wire/address.ts';

/** What counts of a flow. Addresses are 4 or 16 bytes, read before the next row comes. */
export interface NatRow {
  readonly source: Uint8Array;
  /** Of the tuple that answers carry: where the packets really go, and as whose they seem to come. */
  readonly replySource: Uint8Array;
  readonly replySourcePort: number;
  readonly replyDestination: Uint8Array;
  /** Index into CONNTRACK_TCP_STATES. */
  readonly state: number;
  /** Bits of STATUS. */
  readonly status: number;
}

/** Ports that are given for ports from 1024 on. net/netfilter/nf_nat_core.c, nf_nat_l4proto_unique_tuple() */
const USABLE_PORTS = 65_536 - 1_024;

const BUCKETS = 1 << 16;
/** A quarter of a MiB: made anew each time, they would lie around until the garbage is collected. */
const REUSED_BUCKETS = new Uint32Array(BUCKETS);
/** Groups that are looked at closely, at least; those of equally large buckets come along. */
const CANDIDATES = 256;
const GROUPS_MAX = 65_536;
/** Of all that are told together. */
const SOURCES_MAX = 65_536;

const WAITING: ReadonlySet<number> = new Set(
  (['TIME_WAIT', 'CLOSE'] as const).map((state) => CONNTRACK_TCP_STATES.indexOf(state)),
);

interface Group {
  /** As whose the packets seem to come, and where they go: bytes in latin1. */
  readonly address: string;
  readonly destination: string;
  readonly port: number;
  used: number;
  translated: number;
  waiting: number;
}

export interface SourceNatUses {
  /** The most used first, as many as a report has room for. */
  readonly uses: readonly Omit<SourceNatUse, 'perMinute' | 'exhaustedInMs'>[];
  /** Flows with source NAT that are in none of these. */
  readonly folded: number;
}

/**
 * Goes over the flows three times: there may be a million, each towards another destination, so the first time they are
 * only counted by a hash of where they go, the second time those are told apart that fell where most did, and the third
 * time the sources of those that are told are counted. The flows may change from one time to the next.
 */
export function sourceNatUses(forEachFlow: (visit: (row: NatRow) => void) => void): SourceNatUses {
  const buckets = REUSED_BUCKETS.fill(0);
  let translated = 0;
  forEachFlow((row) => {
    if ((row.status & STATUS.sourceNat) === 0) return;
    translated++;
    const bucket = bucketOf(row);
    buckets[bucket] = (buckets[bucket] ?? 0) + 1;
  });
  if (translated === 0) return { uses: [], folded: 0 };
  const enough = smallestOfLargest(buckets, CANDIDATES);
  const groups = new Map<string, Group>();
  forEachFlow((row) => {
    if ((buckets[bucketOf(row)] ?? 0) >= enough) add(groups, row);
  });
  const uses = [...groups]
    .filter(([, group]) => group.translated > 0)
    .sort(([, a], [, b]) => b.used - a.used)
    .slice(0, PRESSURE_LIMITS.sourceNat);
  const sources = sourcesOf(
    uses.map(([key]) => key),
    forEachFlow,
  );
  return {
    uses: uses.map(([key, { address, destination, port, used, waiting }]) => ({
      address: textOf(address),
      destination: { address: textOf(destination), port },
      used,
      usable: Math.max(used, USABLE_PORTS),
      usableBasis: 'assumed',
      waiting,
      consumers: largest(sources.get(key) ?? new Map()),
    })),
    folded: Math.max(
      0,
      uses.reduce((left, [, group]) => left - group.translated, translated),
    ),
  };
}

function add(groups: Map<string, Group>, row: NatRow): void {
  const key = keyOf(row);
  let group = groups.get(key);
  if (group === undefined) {
    if (groups.size >= GROUPS_MAX) return;
    group = {
      address: latin1(row.replyDestination),
      destination: latin1(row.replySource),
      port: row.replySourcePort,
      used: 0,
      translated: 0,
      waiting: 0,
    };
    groups.set(key, group);
  }
  group.used++;
  if (WAITING.has(row.state)) group.waiting++;
  // A flow that keeps its source takes a port all the same.
  if ((row.status & STATUS.sourceNat) !== 0) group.translated++;
}

/** Flows by source, of each of these groups. */
function sourcesOf(
  keys: readonly string[],
  forEachFlow: (visit: (row: NatRow) => void) => void,
): ReadonlyMap<string, ReadonlyMap<string, number>> {
  const all = new Map(keys.map((key) => [key, new Map<string, number>()]));
  let room = SOURCES_MAX;
  forEachFlow((row) => {
    const sources = all.get(keyOf(row));
    if (sources === undefined) return;
    const source = latin1(row.source);
    const count = sources.get(source);
    if (count === undefined && room-- <= 0) return;
    sources.set(source, (count ?? 0) + 1);
  });
  return all;
}

function keyOf({ replyDestination, replySource, replySourcePort }: NatRow): string {
  return `${latin1(replyDestination)}${latin1(replySource)}${replySourcePort}`;
}

function largest(sources: ReadonlyMap<string, number>): SourceNatUse['consumers'] {
  return [...sources]
    .sort(([, a], [, b]) => b - a)
    .slice(0, PRESSURE_LIMITS.consumers)
    .map(([source, count]) => ({ source: textOf(source), count }));
}

/** The count that so many of the buckets reach; 1 when fewer hold anything. */
function smallestOfLargest(buckets: Uint32Array, so: number): number {
  const counts = buckets.filter((count) => count > 0).sort();
  return counts[Math.max(0, counts.length - so)] ?? 1;
}

function bucketOf({ replyDestination, replySource, replySourcePort }: NatRow): number {
  let hash = 0x811c9dc5 ^ replySourcePort;
  for (const byte of replyDestination) hash = Math.imul(hash ^ byte, 0x01000193);
  for (const byte of replySource) hash = Math.imul(hash ^ byte, 0x01000193);
  return (hash ^ (hash >>> 16)) & (BUCKETS - 1);
}

function textOf(bytes: string): string {
  return ipFromBytes(Buffer.from(bytes, 'latin1')).text;
}

function latin1(bytes: Uint8Array): string {
  return Buffer.prototype.latin1Slice.call(bytes);
}
