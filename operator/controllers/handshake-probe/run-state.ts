/** What is known of one generation of a HandshakeProbe while this operator leads. Pure. */

import { isIP } from 'node:net';
import { hostPortText } from '#base/host-port.ts';
import type { HandshakeProbeStatus } from '../../api/v1alpha1/handshake-probe.ts';
import type { Found } from './found.ts';
import { foundBefore, foundKey } from './found.ts';
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
  readonly #found = new Map<string, Found>();
  /** The keys of what was found, by what was asked: the one that came last at the end. */
  readonly #answers = new Map<string, Set<string>>();

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
    for (const result of status.results) this.#keep(foundKey(result), foundBefore(result, receivedMs));
  }

  get found(): readonly Found[] {
    return [...this.#found.values()];
  }

  /** A run that has ended stays so. */
  get complete(): boolean {
    const { status, generation } = this;
    const complete = status?.conditions.find(({ type }) => type === 'Complete');
    return status?.observedGeneration === generation && complete?.status === 'True';
  }

  add(found: Found, intervalMs: number): void {
    const key = foundKey(found);
    const before = this.#found.get(key);
    if (before !== undefined && found.receivedMs - before.receivedMs < TRUSTED_INTERVALS * intervalMs) {
      if (before.saidMs > found.saidMs) return;
      if (found.tainted !== undefined && before.tainted === undefined) return;
    }
    this.#keep(key, found);
  }

  answered(node: string, { target, host, port }: Place): boolean {
    const wanted = hostPortText(host, port);
    if (this.#answers.has(answerKey(target, node, wanted))) return true;
    // What an operator before this one wrote tells the address, not the name that was asked for.
    const before = this.#answers.get(answerKey(target, node));
    return (
      before !== undefined && (isIP(host) === 0 || before.has(foundKey({ target, node, address: wanted })))
    );
  }

  #keep(key: string, found: Found): void {
    this.#drop(key);
    this.#found.set(key, found);
    const answer = answerKey(found.target, found.node, found.asked);
    const keys = this.#answers.get(answer) ?? new Set();
    this.#answers.set(answer, keys.add(key));
    const [oldest] = keys;
    if (keys.size > ADDRESSES_KEPT && oldest !== undefined) this.#drop(oldest);
  }

  #drop(key: string): void {
    const found = this.#found.get(key);
    if (found === undefined) return;
    this.#found.delete(key);
    const answer = answerKey(found.target, found.node, found.asked);
    const keys = this.#answers.get(answer);
    keys?.delete(key);
    if (keys?.size === 0) this.#answers.delete(answer);
  }

  /** Lets go of results of nodes and places that are not probed any more, and of those that came before `oldestMs`. */
  prune(nodes: ReadonlySet<string>, places: readonly Place[], oldestMs: number): void {
    const asked = new Set(places.map(({ host, port }) => hostPortText(host, port)));
    const targets = new Set(places.map(({ target }) => target));
    for (const [key, each] of this.#found) {
      const probed = each.asked === undefined ? targets.has(each.target) : asked.has(each.asked);
      if (!probed || !nodes.has(each.node) || each.receivedMs < oldestMs) this.#drop(key);
    }
  }
}

function answerKey(target: string, node: string, asked = ''): string {
  return `${target} ${node} ${asked}`;
}
