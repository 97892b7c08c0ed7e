/**
 * Flows of one address family in columns of numbers: a million of them cost tens of megabytes, and no work for the
 * garbage collector. A flow is known by its original tuple and zone. Rows lie close together: the last one fills the
 * place of one that goes, so a row's number holds only until the next removal.
 */

import type { FlowRecord } from '../netlink/flow-record.ts';

const LEAST_ROWS = 1_024;

export class FlowColumns {
  /** 32-bit words of an address: 1 or 4. */
  readonly words: 1 | 4;
  size = 0;
  /** Source and destination, then those of the reply. */
  addresses = new Uint32Array(0);
  /** In the same order. */
  ports = new Uint16Array(0);
  zones = new Uint16Array(0);
  states = new Uint8Array(0);
  /** Bits that the table gives a meaning. */
  flags = new Uint16Array(0);
  status = new Uint16Array(0);
  marks = new Uint32Array(0);
  ids = new Uint32Array(0);
  /** When the state began. */
  sinceMs = new Float64Array(0);
  /** When the flow began. */
  bornMs = new Float64Array(0);
  expiresS = new Uint32Array(0);
  /** The last dump that had it, or during which an event spoke of it. */
  dumps = new Uint32Array(0);
  /** Four of each flow: packets and bytes sent, packets and bytes received. There only while the kernel counts. */
  counts: Float64Array | undefined;
  /** Row + 1 by hash, 0 where there is none. At most half full. */
  #index = new Uint32Array(0);
  #capacity = 0;
  readonly #seed: number;
  /** What was looked for last: source, destination. */
  readonly #key: Uint32Array;
  #keyPorts = 0;
  #keyZone = 0;
  /** The row that `locateInOrder` found last. */
  #found = -1;

  /** @param seed secret, so that nobody can choose flows that collide */
  constructor(words: 1 | 4, seed: number) {
    this.words = words;
    this.#seed = seed;
    this.#key = new Uint32Array(2 * words);
    this.#resize(LEAST_ROWS);
  }

  /** Bytes of all columns. */
  get bytes(): number {
    const { addresses, ports, zones, states, flags, status, marks, ids, sinceMs, bornMs, expiresS, dumps } =
      this;
    return [addresses, ports, zones, states, flags, status, marks, ids, sinceMs, bornMs, expiresS, dumps]
      .map(({ byteLength }) => byteLength)
      .reduce((sum, each) => sum + each, this.#index.byteLength + (this.counts?.byteLength ?? 0));
  }

  /** The row of a flow, or -1. */
  locate(view: DataView, record: FlowRecord): number {
    this.#readKey(view, record);
    return this.#search();
  }

  /**
   * The same for a flow of a dump. Dumps come in the same order again and again: behind the row found last lies the
   * next, in memory that is at hand.
   */
  locateInOrder(view: DataView, record: FlowRecord): number {
    this.#readKey(view, record);
    const next = this.#found + 1;
    const row = next < this.size && this.#isKey(next) ? next : this.#search();
    if (row >= 0) this.#found = row;
    return row;
  }

  /** The hash of what was looked for last. */
  get locatedHash(): number {
    return this.#hash(this.#key, 0, this.#keyPorts, this.#keyZone);
  }

  /** Adds the flow that has just not been found. The columns that are not of its name or reply hold anything. */
  append(view: DataView, record: FlowRecord): number {
    if (this.size === this.#capacity) this.#resize(2 * this.#capacity);
    const row = this.size++;
    this.addresses.set(this.#key, row * 4 * this.words);
    this.ports[row * 4] = this.#keyPorts >>> 16;
    this.ports[row * 4 + 1] = this.#keyPorts & 0xffff;
    this.zones[row] = this.#keyZone;
    this.setReply(row, view, record);
    this.#link(row);
    return row;
  }

  setReply(row: number, view: DataView, { reply }: FlowRecord): void {
    const { words, addresses, ports } = this;
    const base = (row * 4 + 2) * words;
    for (let word = 0; word < words; word++) {
      addresses[base + word] = view.getUint32(reply.sourceAt + 4 * word);
      addresses[base + words + word] = view.getUint32(reply.destinationAt + 4 * word);
    }
    ports[row * 4 + 2] = reply.sourcePort;
    ports[row * 4 + 3] = reply.destinationPort;
  }

  /** Writes what the message counts; a row keeps what it has when the message counts nothing. */
  setCounts(row: number, { originalCounters, replyCounters }: FlowRecord): void {
    this.counts ??= new Float64Array(4 * this.#capacity);
    this.counts[4 * row] = originalCounters.packets;
    this.counts[4 * row + 1] = originalCounters.bytes;
    this.counts[4 * row + 2] = replyCounters.packets;
    this.counts[4 * row + 3] = replyCounters.bytes;
  }

  /** Takes a row away; the last row gets its number. */
  remove(row: number): void {
    this.#unlink(this.#slotOf(row));
    const last = --this.size;
    if (row !== last) {
      this.#index[this.#slotOf(last)] = row + 1;
      this.#move(last, row);
    }
    if (this.#capacity > LEAST_ROWS && this.size < this.#capacity / 4) this.#resize(this.#capacity / 2);
  }

  #readKey(view: DataView, { original, zone }: FlowRecord): void {
    const { words } = this;
    for (let word = 0; word < words; word++) {
      this.#key[word] = view.getUint32(original.sourceAt + 4 * word);
      this.#key[words + word] = view.getUint32(original.destinationAt + 4 * word);
    }
    this.#keyPorts = (original.sourcePort << 16) | original.destinationPort;
    this.#keyZone = zone === 0 ? original.zone : zone;
  }

  #search(): number {
    const mask = this.#index.length - 1;
    let slot = this.locatedHash & mask;
    for (;;) {
      const row = (this.#index[slot] as number) - 1;
      if (row < 0 || this.#isKey(row)) return row;
      slot = (slot + 1) & mask;
    }
  }

  #isKey(row: number): boolean {
    if (this.zones[row] !== this.#keyZone || this.#portsOf(row) !== this.#keyPorts) return false;
    const base = row * 4 * this.words;
    for (let word = 0; word < this.#key.length; word++) {
      if (this.addresses[base + word] !== this.#key[word]) return false;
    }
    return true;
  }

  #portsOf(row: number): number {
    return ((this.ports[row * 4] as number) << 16) | (this.ports[row * 4 + 1] as number);
  }

  #hashOf(row: number): number {
    return this.#hash(this.addresses, row * 4 * this.words, this.#portsOf(row), this.zones[row] as number);
  }

  #hash(words: Uint32Array, from: number, ports: number, zone: number): number {
    let hash = this.#seed;
    for (let at = from; at < from + 2 * this.words; at++) hash = mixed(hash ^ (words[at] as number));
    return mixed(mixed(hash ^ ports) ^ zone);
  }

  #slotOf(row: number): number {
    const mask = this.#index.length - 1;
    let slot = this.#hashOf(row) & mask;
    while (this.#index[slot] !== row + 1) slot = (slot + 1) & mask;
    return slot;
  }

  #link(row: number): void {
    const mask = this.#index.length - 1;
    let slot = this.#hashOf(row) & mask;
    while (this.#index[slot] !== 0) slot = (slot + 1) & mask;
    this.#index[slot] = row + 1;
  }

  /** Empties a slot, and moves into it what a search would no longer find behind it. */
  #unlink(emptied: number): void {
    const mask = this.#index.length - 1;
    let hole = emptied;
    for (let slot = (hole + 1) & mask; this.#index[slot] !== 0; slot = (slot + 1) & mask) {
      const home = this.#hashOf((this.#index[slot] as number) - 1) & mask;
      if (((slot - home) & mask) < ((slot - hole) & mask)) continue;
      this.#index[hole] = this.#index[slot] as number;
      hole = slot;
    }
    this.#index[hole] = 0;
  }

  #move(from: number, to: number): void {
    const width = 4 * this.words;
    this.addresses.copyWithin(to * width, from * width, (from + 1) * width);
    this.ports.copyWithin(to * 4, from * 4, (from + 1) * 4);
    this.zones[to] = this.zones[from] as number;
    this.states[to] = this.states[from] as number;
    this.flags[to] = this.flags[from] as number;
    this.status[to] = this.status[from] as number;
    this.marks[to] = this.marks[from] as number;
    this.ids[to] = this.ids[from] as number;
    this.sinceMs[to] = this.sinceMs[from] as number;
    this.bornMs[to] = this.bornMs[from] as number;
    this.expiresS[to] = this.expiresS[from] as number;
    this.dumps[to] = this.dumps[from] as number;
    this.counts?.copyWithin(to * 4, from * 4, (from + 1) * 4);
  }

  /** One column after the other, so that only one exists twice. */
  #resize(capacity: number): void {
    const { size } = this;
    this.#capacity = capacity;
    const width = 4 * this.words;
    this.addresses = resized(this.addresses, new Uint32Array(capacity * width), size * width);
    this.ports = resized(this.ports, new Uint16Array(capacity * 4), size * 4);
    this.zones = resized(this.zones, new Uint16Array(capacity), size);
    this.states = resized(this.states, new Uint8Array(capacity), size);
    this.flags = resized(this.flags, new Uint16Array(capacity), size);
    this.status = resized(this.status, new Uint16Array(capacity), size);
    this.marks = resized(this.marks, new Uint32Array(capacity), size);
    this.ids = resized(this.ids, new Uint32Array(capacity), size);
    this.sinceMs = resized(this.sinceMs, new Float64Array(capacity), size);
    this.bornMs = resized(this.bornMs, new Float64Array(capacity), size);
    this.expiresS = resized(this.expiresS, new Uint32Array(capacity), size);
    this.dumps = resized(this.dumps, new Uint32Array(capacity), size);
    if (this.counts !== undefined) {
      this.counts = resized(this.counts, new Float64Array(capacity * 4), size * 4);
    }
    this.#index = new Uint32Array(2 * capacity);
    for (let row = 0; row < size; row++) this.#link(row);
  }
}

interface Column {
  readonly length: number;
  subarray(from: number, to: number): ArrayLike<number>;
  set(values: ArrayLike<number>): void;
}

function resized<T extends Column>(old: T, next: T, used: number): T {
  next.set(old.subarray(0, used));
  return next;
}

/** A step of MurmurHash3's finalizer: every bit of the value changes every bit of the result. */
function mixed(value: number): number {
  let hash = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
