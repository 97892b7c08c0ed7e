/** Finds the connection of a packet without making anything of the packet's bytes. */

import { readU32, sameBytes } from '../wire/bytes.ts';
import type { SocketAddress } from './types.ts';

/** Where a connection is filed: which of the engine's addresses, and the rest of its four-tuple. */
export interface Tuple {
  readonly localIndex: number;
  readonly local: SocketAddress;
  readonly remote: SocketAddress;
}

interface Entry<T> {
  readonly value: T;
  next: Entry<T> | undefined;
}

/** A hash table by four-tuple. The hash is keyed, so that strangers cannot choose tuples that collide. */
export class TupleTable<T extends Tuple> {
  readonly #buckets = new Map<number, Entry<T>>();
  readonly #seed: number;
  #size = 0;

  constructor(seed: number) {
    this.#seed = seed;
  }

  get size(): number {
    return this.#size;
  }

  /** The entry for these ports and the remote address at `packet[remote...]`. */
  find(
    localIndex: number,
    localPort: number,
    packet: Uint8Array,
    remote: number,
    remoteBytes: number,
    remotePort: number,
  ): T | undefined {
    const key = this.#hash(localIndex, localPort, packet, remote, remoteBytes, remotePort);
    for (let entry = this.#buckets.get(key); entry !== undefined; entry = entry.next) {
      const { value } = entry;
      if (
        value.remote.port === remotePort &&
        value.local.port === localPort &&
        value.localIndex === localIndex &&
        value.remote.address.bytes.length === remoteBytes &&
        sameBytes(value.remote.address.bytes, 0, packet, remote, remoteBytes)
      ) {
        return value;
      }
    }
    return undefined;
  }

  findTuple(localIndex: number, localPort: number, remote: SocketAddress): T | undefined {
    const { bytes } = remote.address;
    return this.find(localIndex, localPort, bytes, 0, bytes.length, remote.port);
  }

  add(value: T): void {
    const key = this.#keyOf(value);
    this.#buckets.set(key, { value, next: this.#buckets.get(key) });
    this.#size += 1;
  }

  delete(value: T): void {
    const key = this.#keyOf(value);
    const first = this.#buckets.get(key);
    if (first === undefined) return;
    if (first.value === value) {
      if (first.next === undefined) this.#buckets.delete(key);
      else this.#buckets.set(key, first.next);
      this.#size -= 1;
      return;
    }
    for (let entry = first; entry.next !== undefined; entry = entry.next) {
      if (entry.next.value !== value) continue;
      entry.next = entry.next.next;
      this.#size -= 1;
      return;
    }
  }

  #keyOf(value: T): number {
    const { bytes } = value.remote.address;
    return this.#hash(value.localIndex, value.local.port, bytes, 0, bytes.length, value.remote.port);
  }

  /** The mixing steps of MurmurHash3 (Austin Appleby, public domain), with a secret start. */
  #hash(
    localIndex: number,
    localPort: number,
    packet: Uint8Array,
    remote: number,
    remoteBytes: number,
    remotePort: number,
  ): number {
    let hash = mix(this.#seed ^ localIndex, (localPort << 16) | remotePort);
    for (let at = 0; at < remoteBytes; at += 4) hash = mix(hash, readU32(packet, remote + at));
    hash ^= hash >>> 16;
    hash = Math.imul(hash, 0x85ebca6b);
    hash ^= hash >>> 13;
    // Below 2^30 it stays a small integer.
    return hash >>> 2;
  }
}

function mix(hash: number, word: number): number {
  let k = Math.imul(word, 0xcc9e2d51);
  k = Math.imul((k << 15) | (k >>> 17), 0x1b873593);
  const mixed = hash ^ k;
  return (Math.imul((mixed << 13) | (mixed >>> 19), 5) + 0xe6546b64) | 0;
}
