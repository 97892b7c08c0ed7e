/**
 * Sockets in TIME-WAIT and CLOSE-WAIT by what tells them apart beside a port that the kernel chose: a busy client or
 * server has a hundred thousand and few groups, a crawler as many groups. So all of them are numbers.
 */

import { randomInt } from 'node:crypto';
import type { UnreadData } from '#contract';
import { KERNEL_STATE } from '../netlink/inet-diag.ts';
import { mixed, RowIndex } from './row-index.ts';
import * as record from './socket-record.ts';
import { BITS } from './socket-record.ts';
import type { SocketStore } from './socket-store.ts';
import { WORD } from './socket-store.ts';
import type { TrackedSocket } from './tracked-socket.ts';

/** Words of a group behind its key; those from `growing` on are of sockets in CLOSE-WAIT. */
const AT = {
  row: 0,
  count: 1,
  growing: 2,
  shrinking: 3,
  seenBefore: 4,
  sending: 5,
  lastReceivedMs: 6,
} as const;
const DATA_WORDS = 7;
/** What does not fit into a word, by group. */
const BIG = { sinceMs: 0, bytes: 1 } as const;
const BIGS = 2;
/** The first words of a key. */
const KEY = { state: 0, owner: 1, attribution: 2, inbound: 3, port: 4, peer: 5 } as const;
const LEAST_GROUPS = 16;
const UNTOLD = 0xffff_ffff;

/** The groups of one store; what is told of one is asked for by its number, from 0 on. */
export class HeldGroups {
  size = 0;
  readonly #store: SocketStore;
  readonly #socketAt: (row: number) => TrackedSocket;
  /** So that nobody who chooses addresses can choose where they fall. */
  readonly #seed = randomInt(0x7fff_ffff);
  /** State, owner, how it is known, direction and service of the socket that is added, and the address of its peer. */
  readonly #key: Uint32Array;
  readonly #stride: number;
  #words: Uint32Array;
  #bigs = new Float64Array(LEAST_GROUPS * BIGS);
  readonly #index = new RowIndex((group) => this.#hashOf(this.#words, group * this.#stride));
  readonly #isKey = (group: number) =>
    this.#key.every((word, i) => word === this.#words[group * this.#stride + i]);

  /** @param socketAt tells of a row of the store */
  constructor(store: SocketStore, socketAt: (row: number) => TrackedSocket) {
    this.#store = store;
    this.#socketAt = socketAt;
    this.#key = new Uint32Array(KEY.peer + store.addressWords);
    this.#stride = this.#key.length + DATA_WORDS;
    this.#words = new Uint32Array(LEAST_GROUPS * this.#stride);
  }

  /** Adds the selected socket, when it is in one of the two states. */
  add(row: number): void {
    const store = this.#store;
    const state = record.bit(store, BITS.state);
    if (state !== KERNEL_STATE.TIME_WAIT && state !== KERNEL_STATE.CLOSE_WAIT) return;
    const sinceMs = store.getMs(WORD.sinceMs);
    const group = this.#numberOf(row, state, sinceMs);
    this.#add(group, AT.count, 1);
    const since = group * BIGS + BIG.sinceMs;
    this.#bigs[since] = Math.min(this.#bigs[since] as number, sinceMs);
    if (state === KERNEL_STATE.CLOSE_WAIT) this.#addUnread(group);
  }

  state(group: number): 'TIME-WAIT' | 'CLOSE-WAIT' {
    const state = this.#words[group * this.#stride + KEY.state];
    return state === KERNEL_STATE.TIME_WAIT ? 'TIME-WAIT' : 'CLOSE-WAIT';
  }

  count(group: number): number {
    return this.#get(group, AT.count);
  }

  /** When the oldest came into its state. */
  sinceMs(group: number): number {
    return this.#bigs[group * BIGS + BIG.sinceMs] as number;
  }

  /** One of the group. */
  socket(group: number): TrackedSocket {
    return this.#socketAt(this.#get(group, AT.row));
  }

  /** Of a group in CLOSE-WAIT. */
  unread(group: number): UnreadData {
    const lastReceivedMs = this.#get(group, AT.lastReceivedMs);
    return {
      bytes: this.#bigs[group * BIGS + BIG.bytes] as number,
      growing: this.#get(group, AT.growing),
      shrinking: this.#get(group, AT.shrinking),
      seenBefore: this.#get(group, AT.seenBefore),
      sending: this.#get(group, AT.sending),
      ...(lastReceivedMs === UNTOLD ? {} : { lastReceivedMs }),
    };
  }

  #addUnread(group: number): void {
    const store = this.#store;
    const bytes = group * BIGS + BIG.bytes;
    this.#bigs[bytes] = (this.#bigs[bytes] as number) + store.get(WORD.receiveQueue);
    const trend = record.trendOf(store);
    if (trend !== 'constant') this.#add(group, AT[trend], 1);
    if (store.get(WORD.sweeps) > 1) this.#add(group, AT.seenBefore, 1);
    this.#add(group, AT.sending, record.bit(store, BITS.sending));
    const last = this.#place(group, AT.lastReceivedMs);
    const lastReceivedMs = record.msOf(store, WORD.lastReceivedMs) ?? UNTOLD;
    this.#words[last] = Math.min(this.#words[last] as number, lastReceivedMs);
  }

  #numberOf(row: number, state: number, sinceMs: number): number {
    this.#readKey(state);
    const hash = this.#hashOf(this.#key, 0);
    const known = this.#index.find(hash, this.#isKey);
    if (known >= 0) return known;
    const group = this.size++;
    if (this.size * BIGS > this.#bigs.length) this.#grow();
    this.#words.set(this.#key, group * this.#stride);
    this.#words[this.#place(group, AT.row)] = row;
    this.#words[this.#place(group, AT.lastReceivedMs)] = UNTOLD;
    this.#bigs[group * BIGS + BIG.sinceMs] = sinceMs;
    this.#index.enter(group, hash);
    return group;
  }

  #grow(): void {
    const [words, bigs] = [this.#words, this.#bigs];
    this.#words = new Uint32Array(2 * words.length);
    this.#words.set(words);
    this.#bigs = new Float64Array(2 * bigs.length);
    this.#bigs.set(bigs);
  }

  #readKey(state: number): void {
    const store = this.#store;
    const key = this.#key;
    const inbound = record.bit(store, BITS.inbound);
    key[KEY.state] = state;
    key[KEY.owner] = store.get(WORD.owner);
    key[KEY.attribution] = record.bit(store, BITS.attribution);
    key[KEY.inbound] = inbound;
    key[KEY.port] = inbound === 1 ? store.localPort() : store.remotePort();
    const at = store.addressAt('remote');
    for (let i = KEY.peer; i < key.length; i++) key[i] = store.words[at + i - KEY.peer] as number;
  }

  #hashOf(words: Uint32Array, from: number): number {
    let hash = this.#seed;
    for (let i = from; i < from + this.#key.length; i++) hash = mixed(hash, words[i] as number);
    return hash;
  }

  #place(group: number, word: number): number {
    return group * this.#stride + this.#key.length + word;
  }

  #get(group: number, word: number): number {
    return this.#words[this.#place(group, word)] as number;
  }

  #add(group: number, word: number, more: number): void {
    const place = this.#place(group, word);
    this.#words[place] = (this.#words[place] as number) + more;
  }
}
