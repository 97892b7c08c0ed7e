/**
 * Sockets as records of fixed size in a few large buffers, found by what tells them apart: family, ports, addresses
 * and interface; without a peer (listeners may share an address) the cookie as well. A million of them are a hundred
 * megabytes; as objects they would be six times that.
 */

import { randomInt } from 'node:crypto';
import type { Family } from '#contract';
import { isMapped } from './address-cache.ts';

/** Words of a record behind its key. The first is half of a 64-bit number. */
export const WORD = {
  sinceMs: 0,
  cookieLow: 2,
  cookieHigh: 3,
  sweep: 4,
  bits: 5,
  expiresMs: 6,
  receiveQueue: 7,
  sendQueue: 8,
  uid: 9,
  inode: 10,
  owner: 11,
  /** After `sinceMs`. */
  queueAfterMs: 12,
  lastReceivedMs: 13,
  idleMs: 14,
  /** Two numbers of 16 bits: of the control group, and how many sweeps saw it in its state. */
  cgroupAndSweeps: 15,
} as const;
const DATA_WORDS = 16;

/** Ports, both addresses, interface. */
const KEY_WORDS: Readonly<Record<Family, number>> = { 4: 4, 6: 10 };
const ADDRESS_WORDS: Readonly<Record<Family, number>> = { 4: 1, 6: 4 };

const CHUNK_ROWS = 1 << 14;
const CHUNK_SHIFT = 14;
const FIRST_ROWS = 16;
const NONE = 0xffff_ffff;

export class SocketStore {
  readonly family: Family;
  /** Records alive. */
  size = 0;
  /** The chunk of the record that `select` was told, and where its words behind the key begin in it. */
  words = new Uint32Array(0);
  at = 0;
  readonly #keyWords: number;
  readonly #stride: number;
  readonly #key: Uint32Array;
  #keyHash = 0;
  #keyCookieLow = 0;
  #keyCookieHigh = 0;
  readonly #chunks: Uint32Array[] = [];
  readonly #times: Float64Array[] = [];
  #selectedTimes = new Float64Array(0);
  /** Rows ever used; those given back are chained by their first word. */
  #rows = 0;
  #free = NONE;
  /** Open addressing: row + 1, 0 for none. */
  #index = new Uint32Array(2 * FIRST_ROWS);
  /** So that nobody who chooses ports and addresses can choose where they fall. */
  readonly #seed = randomInt(0x7fff_ffff);

  constructor(family: Family) {
    this.family = family;
    this.#keyWords = KEY_WORDS[family];
    this.#stride = this.#keyWords + DATA_WORDS;
    this.#key = new Uint32Array(this.#keyWords);
  }

  /**
   * The row of the socket that a message of this family tells of, or -1; `insert` takes the same socket.
   * @param message an `inet_diag_msg`
   */
  find(message: DataView): number {
    this.#readKey(message);
    const mask = this.#index.length - 1;
    for (let slot = this.#keyHash & mask; ; slot = (slot + 1) & mask) {
      const entry = this.#index[slot] as number;
      if (entry === 0) return -1;
      if (this.#isKeyOf(entry - 1)) return entry - 1;
    }
  }

  /** Makes a record for the socket that `find` did not find, all words behind the key zero, and selects it. */
  insert(): number {
    if (4 * (this.size + 1) > 3 * this.#index.length) this.#fillIndex();
    const row = this.#takeRow();
    this.select(row);
    const { words, at } = this;
    words.fill(0, at, at + DATA_WORDS);
    words.set(this.#key, at - this.#keyWords);
    words[at + WORD.cookieLow] = this.#keyCookieLow;
    words[at + WORD.cookieHigh] = this.#keyCookieHigh;
    this.#enter(row, this.#keyHash);
    this.size++;
    return row;
  }

  select(row: number): void {
    const chunk = row >>> CHUNK_SHIFT;
    this.words = this.#chunks[chunk] as Uint32Array<ArrayBuffer>;
    this.#selectedTimes = this.#times[chunk] as Float64Array<ArrayBuffer>;
    this.at = (row & (CHUNK_ROWS - 1)) * this.#stride + this.#keyWords;
  }

  get(word: number): number {
    return this.words[this.at + word] as number;
  }

  set(word: number, value: number): void {
    this.words[this.at + word] = value;
  }

  getMs(word: number): number {
    return this.#selectedTimes[(this.at + word) >>> 1] as number;
  }

  setMs(word: number, ms: number): void {
    this.#selectedTimes[(this.at + word) >>> 1] = ms;
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
    return this.at - this.#keyWords + 1 + (end === 'local' ? 0 : ADDRESS_WORDS[this.family]);
  }

  /** Whether the selected record has `0.0.0.0` or `::` at that end. */
  isUnspecified(end: 'local' | 'remote'): boolean {
    const start = this.addressAt(end);
    for (let i = 0; i < ADDRESS_WORDS[this.family]; i++) if (this.words[start + i] !== 0) return false;
    return true;
  }

  /** The family that the socket `find` was asked for speaks: an IPv6 socket may speak IPv4. */
  keyFamily(): Family {
    return this.family === 4 || isMapped(this.#key, 1) ? 4 : 6;
  }

  /** Selects each record in turn. Only the selected one may be removed meanwhile. */
  *rows(): Generator<number> {
    for (let row = 0; row < this.#rows; row++) {
      this.select(row);
      if (this.get(WORD.sweep) !== 0) yield row;
    }
  }

  /** Takes the selected record away. */
  remove(row: number): void {
    this.select(row);
    this.#leave(row, this.#selectedHash());
    this.set(WORD.sweep, 0);
    this.set(WORD.sinceMs, this.#free);
    this.#free = row;
    this.size--;
  }

  /** How many records there is memory for. */
  get room(): number {
    const last = this.#chunks.length - 1;
    return last < 0 ? 0 : last * CHUNK_ROWS + (this.#chunks[last]?.length ?? 0) / this.#stride;
  }

  /**
   * A table that was full once does not keep its memory: when less than a quarter of it is in use, the records move
   * together and the rest is given back. Not while `rows` walks.
   * @param onMoved is told each record's new row, in ascending order; no record alive has it at that time
   */
  compact(onMoved: (from: number, to: number) => void): void {
    const { room } = this;
    if (room <= FIRST_ROWS || 4 * this.size >= room) return;
    let to = 0;
    for (const from of this.rows()) {
      if (from !== to) {
        this.#copy(to);
        onMoved(from, to);
      }
      to++;
    }
    this.#rows = to;
    this.#free = NONE;
    this.#cutChunks();
    // What was selected would keep its chunk.
    this.select(0);
    this.#fillIndex();
  }

  /** Writes the selected record into another row. */
  #copy(to: number): void {
    const start = this.at - this.#keyWords;
    const chunk = this.#chunks[to >>> CHUNK_SHIFT];
    chunk?.set(this.words.subarray(start, start + this.#stride), (to & (CHUNK_ROWS - 1)) * this.#stride);
  }

  #cutChunks(): void {
    const count = Math.max(1, Math.ceil(this.#rows / CHUNK_ROWS));
    this.#chunks.length = count;
    this.#times.length = count;
    const [first] = this.#chunks;
    if (count > 1 || first === undefined) return;
    let rows = FIRST_ROWS;
    while (rows < this.#rows) rows *= 2;
    const chunk = first.slice(0, rows * this.#stride);
    this.#chunks[0] = chunk;
    this.#times[0] = new Float64Array(chunk.buffer);
  }

  #readKey(view: DataView): void {
    const key = this.#key;
    const addressWords = ADDRESS_WORDS[this.family];
    key[0] = view.getUint32(4, true);
    for (let i = 0; i < addressWords; i++) {
      key[1 + i] = view.getUint32(8 + 4 * i, true);
      key[1 + addressWords + i] = view.getUint32(24 + 4 * i, true);
    }
    key[this.#keyWords - 1] = view.getUint32(40, true);
    this.#keyCookieLow = view.getUint32(44, true);
    this.#keyCookieHigh = view.getUint32(48, true);
    this.#keyHash = this.#hashOf(key, 0, this.#keyCookieLow);
  }

  /** @param start where the key begins in `words` */
  #hashOf(words: Uint32Array, start: number, cookieLow: number): number {
    let hash = this.#seed;
    for (let i = 0; i < this.#keyWords; i++) hash = mixed(hash, words[start + i] as number);
    if (portIn(words[start] as number, 16) === 0) hash = mixed(hash, cookieLow);
    return (hash ^ (hash >>> 16)) >>> 0;
  }

  #selectedHash(): number {
    return this.#hashOf(this.words, this.at - this.#keyWords, this.get(WORD.cookieLow));
  }

  #isKeyOf(row: number): boolean {
    this.select(row);
    const { words, at } = this;
    const start = at - this.#keyWords;
    for (let i = 0; i < this.#keyWords; i++) if (words[start + i] !== this.#key[i]) return false;
    if (this.remotePort() !== 0) return true;
    return (
      words[at + WORD.cookieLow] === this.#keyCookieLow && words[at + WORD.cookieHigh] === this.#keyCookieHigh
    );
  }

  #takeRow(): number {
    if (this.#free !== NONE) {
      const row = this.#free;
      this.select(row);
      this.#free = this.get(WORD.sinceMs);
      return row;
    }
    const row = this.#rows++;
    if (row >= this.room) this.#addRoom();
    return row;
  }

  /** The first chunk grows by doubling, because most namespaces have few sockets. */
  #addRoom(): void {
    const [first] = this.#chunks;
    const growing =
      this.#chunks.length === 1 && first !== undefined && first.length < CHUNK_ROWS * this.#stride;
    const words =
      first === undefined
        ? FIRST_ROWS * this.#stride
        : growing
          ? 2 * first.length
          : CHUNK_ROWS * this.#stride;
    const chunk = new Uint32Array(words);
    if (growing) chunk.set(first);
    const place = growing ? 0 : this.#chunks.length;
    this.#chunks[place] = chunk;
    this.#times[place] = new Float64Array(chunk.buffer);
  }

  /** Makes the index anew, as long as it must be for one record more. */
  #fillIndex(): void {
    let length = 2 * FIRST_ROWS;
    while (4 * (this.size + 1) > 3 * length) length *= 2;
    this.#index = new Uint32Array(length);
    for (const row of this.rows()) this.#enter(row, this.#selectedHash());
  }

  #enter(row: number, hash: number): void {
    const mask = this.#index.length - 1;
    let slot = hash & mask;
    while (this.#index[slot] !== 0) slot = (slot + 1) & mask;
    this.#index[slot] = row + 1;
  }

  /** What follows in the same run moves up, so that no run has a gap. */
  #leave(row: number, hash: number): void {
    const index = this.#index;
    const mask = index.length - 1;
    let gap = hash & mask;
    while (index[gap] !== row + 1) gap = (gap + 1) & mask;
    for (let slot = (gap + 1) & mask; index[slot] !== 0; slot = (slot + 1) & mask) {
      const entry = index[slot] as number;
      this.select(entry - 1);
      const home = this.#selectedHash() & mask;
      if (((slot - home) & mask) < ((slot - gap) & mask)) continue;
      index[gap] = entry;
      gap = slot;
    }
    index[gap] = 0;
    this.select(row);
  }
}

/** Ports lie in network order in a word that was read in the machine's. */
function portIn(word: number, shift: 0 | 16): number {
  const swapped = (word >>> shift) & 0xffff;
  return ((swapped & 0xff) << 8) | (swapped >>> 8);
}

function mixed(hash: number, word: number): number {
  let h = hash ^ Math.imul(word, 0x85eb_ca6b);
  h = Math.imul(h ^ (h >>> 15), 0xc2b2_ae35);
  return h ^ (h >>> 13);
}
