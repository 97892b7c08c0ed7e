/**
 * Sockets as records of fixed size in a few large buffers, found by what tells them apart: family, ports, addresses
 * and interface; without a peer (listeners may share an address) the cookie as well. A million of them are a hundred
 * megabytes; as objects they would be six times that.
 * The kernel tells of its sockets in the same order again and again, so each record knows which one came behind it,
 * and that one is looked at before any other.
 */

import { randomInt } from 'node:crypto';
import type { Family } from '#contract';
import type { DiagRecord } from '../netlink/diag-record.ts';
import { RecordRows } from './record-rows.ts';
import { mixed, RowIndex } from './row-index.ts';

/** Words of a record behind its key. The first is half of a 64-bit number. */
export const WORD = {
  sinceMs: 0,
  cookieLow: 2,
  cookieHigh: 3,
  /** The last sweep that saw it; 0 where there is no record. */
  sweep: 4,
  bits: 5,
  expiresMs: 6,
  receiveQueue: 7,
  sendQueue: 8,
  uid: 9,
  inode: 10,
  owner: 11,
  /** What it had sent when it came into its state, see `DiagRecord.bytesSentOnce`. */
  sentBefore: 12,
  lastReceivedMs: 13,
  idleMs: 14,
  /** Number of its control group. */
  cgroup: 15,
  /** How many sweeps saw it in its state. */
  sweeps: 16,
  /** Row + 1 of the record that came behind it, 0 when that is not known. */
  follower: 17,
} as const;
const DATA_WORDS = 18;

/** Ports, both addresses, interface. */
const KEY_WORDS: Readonly<Record<Family, number>> = { 4: 4, 6: 10 };
const ADDRESS_WORDS: Readonly<Record<Family, number>> = { 4: 1, 6: 4 };
/** Words of a message, see `DiagRecord.word`. */
const MESSAGE = { ports: 1, local: 2, remote: 6, interface: 10 } as const;

export class SocketStore extends RecordRows {
  readonly family: Family;
  readonly #keyWords: number;
  /** Words of an address. */
  readonly addressWords: number;
  readonly #index = new RowIndex((row) => this.#hashOfRow(row));
  /** So that nobody who chooses ports and addresses can choose where they fall. */
  readonly #seed = randomInt(0x7fff_ffff);
  /** Row + 1 of the record that is expected next, 0 for none. */
  #expected = 0;
  /** Where the record that came last keeps its follower; before the first one, who that is. */
  readonly #first = new Uint32Array(1);
  #followerIn = this.#first;
  #followerAt = 0;
  /** What `find` was asked for. */
  #sought: DiagRecord | undefined;
  readonly #isSought = (row: number) => this.#is(row, this.#sought as DiagRecord);

  constructor(family: Family) {
    super(KEY_WORDS[family], DATA_WORDS, WORD.sweep);
    this.family = family;
    this.#keyWords = KEY_WORDS[family];
    this.addressWords = ADDRESS_WORDS[family];
  }

  /** To be called when the kernel begins to tell of its sockets. */
  rewind(): void {
    this.#followerIn = this.#first;
    this.#followerAt = 0;
    this.#expected = this.#first[0] as number;
  }

  /** The row of the socket that a message of this family tells of, which is selected then; or -1. */
  find(message: DiagRecord): number {
    let row = this.#expected - 1;
    if (!this.has(row) || !this.#is(row, message)) {
      this.#sought = message;
      row = this.#index.find(this.#hashOf(message), this.#isSought);
      if (row < 0) return row;
    }
    this.#follow(row);
    this.#expected = this.get(WORD.follower);
    return row;
  }

  /** Makes a record for the socket that `find` did not find, all words behind the key zero, and selects it. */
  insert(message: DiagRecord): number {
    const row = this.take();
    const { words, at } = this;
    const start = at - this.#keyWords;
    words[start] = message.word(MESSAGE.ports);
    for (let i = 0; i < this.addressWords; i++) {
      words[start + 1 + i] = message.word(MESSAGE.local + i);
      words[start + 1 + this.addressWords + i] = message.word(MESSAGE.remote + i);
    }
    words[at - 1] = message.word(MESSAGE.interface);
    words.fill(0, at, at + DATA_WORDS);
    words[at + WORD.cookieLow] = message.cookieLow;
    words[at + WORD.cookieHigh] = message.cookieHigh;
    this.#index.enter(row, this.#hashOf(message));
    this.select(row);
    this.#follow(row);
    return row;
  }

  localPort(): number {
    return portIn(this.words[this.at - this.#keyWords] as number, 0);
  }

  remotePort(): number {
    return portIn(this.words[this.at - this.#keyWords] as number, 16);
  }

  interfaceIndex(): number {
    return this.words[this.at - 1] as number;
  }

  /** Where in `words` the address of the selected record begins: 1 word or 4, as the kernel has them in memory. */
  addressAt(end: 'local' | 'remote'): number {
    return this.at - this.#keyWords + 1 + (end === 'local' ? 0 : this.addressWords);
  }

  /** Whether the selected record has `0.0.0.0` or `::` at that end. */
  isUnspecified(end: 'local' | 'remote'): boolean {
    const start = this.addressAt(end);
    for (let i = 0; i < this.addressWords; i++) if (this.words[start + i] !== 0) return false;
    return true;
  }

  override remove(row: number): void {
    this.#index.leave(row, this.#hashOfRow(row));
    super.remove(row);
  }

  override compact(onKept: (from: number, to: number) => void): void {
    if (!this.sparse) return;
    this.#index.clear(this.size);
    super.compact((from, to) => {
      this.#index.enter(to, this.#hashOfRow(to));
      onKept(from, to);
    });
    // The record that came last would keep its chunk.
    this.rewind();
  }

  /** The selected record came behind the one before; an outdated answer to who comes next costs a search. */
  #follow(row: number): void {
    this.#followerIn[this.#followerAt] = row + 1;
    this.#followerIn = this.words;
    this.#followerAt = this.at + WORD.follower;
  }

  /** Whether a row has the socket of a message. Selects it. */
  #is(row: number, message: DiagRecord): boolean {
    this.select(row);
    const { words, at } = this;
    const start = at - this.#keyWords;
    const addressWords = this.addressWords;
    if (words[start] !== message.word(MESSAGE.ports) || words[at + WORD.sweep] === 0) return false;
    for (let i = 0; i < addressWords; i++) {
      if (words[start + 1 + i] !== message.word(MESSAGE.local + i)) return false;
      if (words[start + 1 + addressWords + i] !== message.word(MESSAGE.remote + i)) return false;
    }
    if (words[at - 1] !== message.word(MESSAGE.interface)) return false;
    if (this.remotePort() !== 0) return true;
    return (
      words[at + WORD.cookieLow] === message.cookieLow && words[at + WORD.cookieHigh] === message.cookieHigh
    );
  }

  #hashOf(message: DiagRecord): number {
    const ports = message.word(MESSAGE.ports);
    let hash = mixed(this.#seed, ports);
    for (let i = 0; i < this.addressWords; i++) hash = mixed(hash, message.word(MESSAGE.local + i));
    for (let i = 0; i < this.addressWords; i++) hash = mixed(hash, message.word(MESSAGE.remote + i));
    hash = mixed(hash, message.word(MESSAGE.interface));
    return portIn(ports, 16) === 0 ? mixed(hash, message.cookieLow) : hash;
  }

  /** The same of a record. Selects it. */
  #hashOfRow(row: number): number {
    this.select(row);
    let hash = this.#seed;
    for (let i = this.at - this.#keyWords; i < this.at; i++) hash = mixed(hash, this.words[i] as number);
    return this.remotePort() === 0 ? mixed(hash, this.get(WORD.cookieLow)) : hash;
  }
}

/** Ports lie in network order in a word that was read in the machine's. */
function portIn(word: number, shift: 0 | 16): number {
  const swapped = (word >>> shift) & 0xffff;
  return ((swapped & 0xff) << 8) | (swapped >>> 8);
}
