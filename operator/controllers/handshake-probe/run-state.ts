/** What is known of one generation of a HandshakeProbe while this operator leads. Pure. */

import { isIP } from 'node:net';
import { hostPortText } from '#base/host-port.ts';
import type { HandshakeProbeStatus } from '../../api/v1alpha1/handshake-probe.ts';
import type { Found } from './found.ts';
import { foundBefore } from './found.ts';
import type { Place } from './places.ts';
import type { ProbeRecord } from './probe-record.ts';

/** How many results are kept of a place as one node sees it: a name may have several addresses. */
const ADDRESSES_KEPT = 16;
/**
 * A result that is no older than so many intervals is not replaced by a tainted one, nor by one that was measured before
 * it: reports may come again. After that it is, for a clock may have been set back.
 */
const TRUSTED_INTERVALS = 3;

export class RunState {
  readonly uid: string;
  readonly generation: number;
  /** Since when this generation runs. */
  readonly sinceMs: number;
  /** As it was last written. */
  status: HandshakeProbeStatus | undefined;
  wroteMs = 0;
  /** By what was asked, then by node: the one that came last at the end. */
  readonly #found = new Map<string, Map<string, Found[]>>();
  #size = 0;

  /** Takes over what an operator before this one wrote about the same generation. */
  constructor({ uid, generation, status }: ProbeRecord, nowMs: number) {
    this.uid = uid;
    this.generation = generation;
    this.status = status;
    if (status?.observedGeneration !== generation) {
      this.sinceMs = nowMs;
      return;
    }
    const running = status.conditions.find(({ type }) => type === 'Complete')?.lastTransitionTime;
    this.sinceMs = running === undefined ? nowMs : Date.parse(running);
    const receivedMs = Math.min(nowMs, Date.parse(status.lastProbeTime ?? '') || 0);
    for (const result of status.results) this.#keep(foundBefore(result, receivedMs));
  }

  get found(): Found[] {
    const all: Found[] = [];
    for (const byNode of this.#found.values()) for (const results of byNode.values()) all.push(...results);
    return all;
  }

  /** How many results are kept. */
  get size(): number {
    return this.#size;
  }

  /** A run that has ended stays so. */
  get complete(): boolean {
    const { status, generation } = this;
    const complete = status?.conditions.find(({ type }) => type === 'Complete');
    return status?.observedGeneration === generation && complete?.status === 'True';
  }

  add(found: Found, intervalMs: number): void {
    const { target, node, asked, address } = found;
    const sameAddress = (each: Found): boolean => each.address === address;
    const before =
      this.#of(askedKey(target, asked), node).find(sameAddress) ??
      this.#of(askedKey(target), node).find(sameAddress);
    if (before !== undefined && found.receivedMs - before.receivedMs < TRUSTED_INTERVALS * intervalMs) {
      if (before.saidMs > found.saidMs) return;
      if (found.tainted !== undefined && before.tainted === undefined) return;
    }
    // That the name did not resolve is over when it does.
    const stays = (each: Found): boolean => !sameAddress(each) && each.address !== undefined;
    for (const key of [askedKey(target), askedKey(target, asked)]) this.#filter(key, node, stays);
    this.#keep(found);
  }

  answered(node: string, { target, host, port }: Place): boolean {
    const asked = hostPortText(host, port);
    if (this.#of(askedKey(target, asked), node).length > 0) return true;
    // What an operator before this one wrote tells the address, not the name that was asked for.
    const before = this.#of(askedKey(target), node);
    return before.length > 0 && (isIP(host) === 0 || before.some(({ address }) => address === asked));
  }

  /** The nodes that have not answered for all places. */
  missing(nodes: ReadonlySet<string>, places: readonly Place[]): string[] {
    const asked = places.map((place) => ({
      place,
      byNode: this.#found.get(askedKey(place.target, hostPortText(place.host, place.port))),
    }));
    const lacks = (node: string): boolean =>
      asked.some(({ place, byNode }) => byNode?.has(node) !== true && !this.answered(node, place));
    return [...nodes].filter(lacks);
  }

  /** Lets go of results of nodes and places that are not probed any more, and of those that came before `oldestMs`. */
  prune(nodes: ReadonlySet<string>, places: readonly Place[], oldestMs: number): void {
    const asked = new Set<string>();
    for (const { target, host, port } of places) {
      asked.add(askedKey(target)).add(askedKey(target, hostPortText(host, port)));
    }
    for (const [key, byNode] of this.#found) {
      const probed = asked.has(key);
      for (const [node, results] of byNode) {
        if (probed && nodes.has(node) && !results.some(({ receivedMs }) => receivedMs < oldestMs)) continue;
        this.#filter(key, node, ({ receivedMs }) => probed && nodes.has(node) && receivedMs >= oldestMs);
      }
    }
  }

  #of(asked: string, node: string): readonly Found[] {
    return this.#found.get(asked)?.get(node) ?? NOTHING;
  }

  #keep(found: Found): void {
    const key = askedKey(found.target, found.asked);
    const byNode = this.#found.get(key) ?? new Map<string, Found[]>();
    this.#found.set(key, byNode);
    const results = byNode.get(found.node);
    this.#size++;
    if (results === undefined) byNode.set(found.node, [found]);
    else if (results.push(found) > ADDRESSES_KEPT && results.shift() !== undefined) this.#size--;
  }

  #filter(key: string, node: string, wanted: (found: Found) => boolean): void {
    const byNode = this.#found.get(key);
    const results = byNode?.get(node);
    if (byNode === undefined || results === undefined) return;
    const left = results.filter(wanted);
    this.#size += left.length - results.length;
    if (left.length > 0) byNode.set(node, left);
    else if (byNode.delete(node) && byNode.size === 0) this.#found.delete(key);
  }
}

const NOTHING: readonly Found[] = [];

function askedKey(target: string, asked = ''): string {
  return `${target} ${asked}`;
}
