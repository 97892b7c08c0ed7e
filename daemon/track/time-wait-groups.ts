/**
 * Sockets in TIME-WAIT by what tells them apart beside a port that the kernel chose: a busy client or server has a
 * hundred thousand, and few groups.
 */

import { randomInt } from 'node:crypto';
import { mixed, RowIndex } from './row-index.ts';
import * as record from './socket-record.ts';
import { BITS } from './socket-record.ts';
import type { SocketStore } from './socket-store.ts';
import { WORD } from './socket-store.ts';

export interface TimeWaitGroup {
  /** Row of the first one. */
  readonly row: number;
  count: number;
  /** When the oldest came into its state. */
  sinceMs: number;
}

export class TimeWaitGroups {
  readonly groups: TimeWaitGroup[] = [];
  /** Of each group. */
  readonly #keys: Uint32Array[] = [];
  readonly #index = new RowIndex((group) => this.#hashOf(this.#keys[group] as Uint32Array));
  /** So that nobody who chooses addresses can choose where they fall. */
  readonly #seed = randomInt(0x7fff_ffff);
  /** Owner, how it is known, direction and service of the socket that is added, and the address of its peer. */
  readonly #key: Uint32Array;
  readonly #isKey = (group: number) =>
    (this.#keys[group] as Uint32Array).every((word, i) => word === this.#key[i]);
  readonly #store: SocketStore;

  constructor(store: SocketStore) {
    this.#store = store;
    this.#key = new Uint32Array(4 + store.addressWords);
  }

  /** Adds the selected socket. */
  add(row: number): void {
    const store = this.#store;
    this.#readKey();
    const sinceMs = store.getMs(WORD.sinceMs);
    const hash = this.#hashOf(this.#key);
    const group = this.groups[this.#index.find(hash, this.#isKey)];
    if (group === undefined) {
      this.#keys.push(this.#key.slice());
      this.#index.enter(this.groups.push({ row, count: 1, sinceMs }) - 1, hash);
    } else {
      group.count++;
      group.sinceMs = Math.min(group.sinceMs, sinceMs);
    }
  }

  #readKey(): void {
    const store = this.#store;
    const key = this.#key;
    const inbound = record.bit(store, BITS.inbound);
    key[0] = store.get(WORD.owner);
    key[1] = record.bit(store, BITS.attribution);
    key[2] = inbound;
    key[3] = inbound === 1 ? store.localPort() : store.remotePort();
    const at = store.addressAt('remote');
    for (let i = 4; i < key.length; i++) key[i] = store.words[at + i - 4] as number;
  }

  #hashOf(key: Uint32Array): number {
    let hash = this.#seed;
    for (let i = 0; i < key.length; i++) hash = mixed(hash, key[i] as number);
    return hash;
  }
}
