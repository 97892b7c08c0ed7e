/** A socket of the table as port pressure counts it, in numbers: there may be as many destinations as sockets. */

import { randomInt } from 'node:crypto';
import { isMapped } from './address-cache.ts';
import type { EndsSeed } from './ends-key.ts';
import { endsKey } from './ends-key.ts';
import type { PressingSocket } from './port-pressure.ts';
import * as record from './socket-record.ts';
import { BITS } from './socket-record.ts';
import type { SocketStore } from './socket-store.ts';
import { WORD } from './socket-store.ts';

const SEED: EndsSeed = [randomInt(2 ** 32), randomInt(2 ** 32)];

/** The record that is selected in a store, whichever that is. */
export class PressingRow implements PressingSocket {
  row = -1;
  readonly #store: SocketStore;
  readonly #local = new AddressBytes();
  readonly #peer = new AddressBytes();

  constructor(store: SocketStore) {
    this.#store = store;
  }

  get localPort(): number {
    return this.#store.localPort();
  }

  get towards(): number {
    const local = this.#local.of(this.#store, 'local');
    const peer = this.#peer.of(this.#store, 'remote');
    return endsKey(SEED, local, 0, peer, this.#store.remotePort());
  }

  get onLoopback(): boolean {
    return (
      isLoopback(this.#local.of(this.#store, 'local')) || isLoopback(this.#peer.of(this.#store, 'remote'))
    );
  }

  get state(): PressingSocket['state'] {
    return record.stateOf(this.#store);
  }

  get sinceMs(): number {
    return this.#store.getMs(WORD.sinceMs);
  }

  get direction(): PressingSocket['direction'] {
    return record.bit(this.#store, BITS.inbound) === 1 ? 'inbound' : 'outbound';
  }

  get bindAddressNoPort(): boolean | undefined {
    return record.bindAddressNoPortOf(this.#store);
  }
}

/** The bytes of an address at a time: 4, or 16 for one of IPv6 that is none of IPv4 in its form. */
class AddressBytes {
  readonly #words = new Uint32Array(4);
  readonly #v6 = new Uint8Array(this.#words.buffer);
  readonly #v4 = this.#v6.subarray(0, 4);

  of(store: SocketStore, end: 'local' | 'remote'): Uint8Array {
    const { words, family } = store;
    const at = store.addressAt(end);
    const isV4 = family === 4 || isMapped(words, at);
    const from = isV4 && family === 6 ? at + 3 : at;
    for (let i = 0; i < (isV4 ? 1 : 4); i++) this.#words[i] = words[from + i] as number;
    return isV4 ? this.#v4 : this.#v6;
  }
}

function isLoopback(address: Uint8Array): boolean {
  if (address.length === 4) return address[0] === 127;
  return address.every((byte, at) => byte === (at === 15 ? 1 : 0));
}
