/**
 * Sockets in TIME-WAIT and CLOSE-WAIT by what tells them apart beside a port that the kernel chose: a busy client or
 * server has a hundred thousand, and few groups.
 */

import { randomInt } from 'node:crypto';
import type { UnreadData } from '#contract';
import { KERNEL_STATE } from '../netlink/inet-diag.ts';
import { mixed, RowIndex } from './row-index.ts';
import * as record from './socket-record.ts';
import { BITS } from './socket-record.ts';
import type { SocketStore } from './socket-store.ts';
import { WORD } from './socket-store.ts';

export interface HeldGroup {
  /** Row of the first one. */
  readonly row: number;
  count: number;
  /** When the oldest came into its state. */
  sinceMs: number;
  /** Of those in CLOSE-WAIT. */
  readonly unread: Writable<UnreadData> | undefined;
}

type Writable<T> = { -readonly [Field in keyof T]: T[Field] };

export function nothingUnread(): Writable<UnreadData> {
  return { bytes: 0, growing: 0, shrinking: 0, seenBefore: 0, sending: 0 };
}

export class HeldGroups {
  readonly groups: HeldGroup[] = [];
  /** Of each group. */
  readonly #keys: Uint32Array[] = [];
  readonly #index = new RowIndex((group) => this.#hashOf(this.#keys[group] as Uint32Array));
  /** So that nobody who chooses addresses can choose where they fall. */
  readonly #seed = randomInt(0x7fff_ffff);
  /** State, owner, how it is known, direction and service of the socket that is added, and the address of its peer. */
  readonly #key: Uint32Array;
  readonly #isKey = (group: number) =>
    (this.#keys[group] as Uint32Array).every((word, i) => word === this.#key[i]);
  readonly #store: SocketStore;

  constructor(store: SocketStore) {
    this.#store = store;
    this.#key = new Uint32Array(5 + store.addressWords);
  }

  /** Adds the selected socket, when it is in one of the two states. */
  add(row: number): void {
    const store = this.#store;
    const state = record.bit(store, BITS.state);
    if (state !== KERNEL_STATE.TIME_WAIT && state !== KERNEL_STATE.CLOSE_WAIT) return;
    const sinceMs = store.getMs(WORD.sinceMs);
    const group = this.#groupOf(row, state, sinceMs);
    group.count++;
    group.sinceMs = Math.min(group.sinceMs, sinceMs);
    if (group.unread !== undefined) addUnread(group.unread, store);
  }

  #groupOf(row: number, state: number, sinceMs: number): HeldGroup {
    this.#readKey(state);
    const hash = this.#hashOf(this.#key);
    const known = this.groups[this.#index.find(hash, this.#isKey)];
    if (known !== undefined) return known;
    const unread = state === KERNEL_STATE.CLOSE_WAIT ? nothingUnread() : undefined;
    const group = { row, count: 0, sinceMs, unread };
    this.#keys.push(this.#key.slice());
    this.#index.enter(this.groups.push(group) - 1, hash);
    return group;
  }

  #readKey(state: number): void {
    const store = this.#store;
    const key = this.#key;
    const inbound = record.bit(store, BITS.inbound);
    key[0] = state;
    key[1] = store.get(WORD.owner);
    key[2] = record.bit(store, BITS.attribution);
    key[3] = inbound;
    key[4] = inbound === 1 ? store.localPort() : store.remotePort();
    const at = store.addressAt('remote');
    for (let i = 5; i < key.length; i++) key[i] = store.words[at + i - 5] as number;
  }

  #hashOf(key: Uint32Array): number {
    let hash = this.#seed;
    for (let i = 0; i < key.length; i++) hash = mixed(hash, key[i] as number);
    return hash;
  }
}

function addUnread(unread: Writable<UnreadData>, store: SocketStore): void {
  unread.bytes += store.get(WORD.receiveQueue);
  const trend = record.trendOf(store);
  if (trend === 'growing') unread.growing++;
  if (trend === 'shrinking') unread.shrinking++;
  if (store.get(WORD.sweeps) > 1) unread.seenBefore++;
  unread.sending += record.bit(store, BITS.sending);
  const lastReceivedMs = record.msOf(store, WORD.lastReceivedMs);
  if (lastReceivedMs === undefined) return;
  unread.lastReceivedMs = Math.min(unread.lastReceivedMs ?? lastReceivedMs, lastReceivedMs);
}
