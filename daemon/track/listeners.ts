/** Who accepts what comes to an address and port of a namespace: the owner of sockets that nobody holds. */

import { MAPPED } from './address-cache.ts';
import type { Owners } from './owners.ts';
import * as record from './socket-record.ts';
import { BITS } from './socket-record.ts';
import type { SocketStore } from './socket-store.ts';
import { WORD } from './socket-store.ts';

interface Listener {
  readonly address: Address;
  readonly dualStack: boolean;
  /** Number of its owner. */
  readonly owner: number;
}

/** Four words as the kernel has them in memory; IPv4 in IPv6's form. */
type Address = Uint32Array;

const ANY_V4 = Uint32Array.of(0, 0, MAPPED, 0);
const ANY_V6 = Uint32Array.of(0, 0, 0, 0);

export class Listeners {
  readonly #byPort = new Map<number, Listener[]>();
  readonly #owners: Owners;
  /** Of the socket that is looked at. */
  readonly #address = new Uint32Array(4);

  constructor(owners: Owners) {
    this.#owners = owners;
  }

  /** @param store with a listener selected that has been attributed */
  add(store: SocketStore): void {
    this.#readAddress(store);
    const listener = {
      address: this.#address.slice(),
      dualStack: record.bit(store, BITS.dualStack) === 1,
      owner: store.get(WORD.owner),
    };
    const others = this.#byPort.get(store.localPort());
    if (others === undefined) this.#byPort.set(store.localPort(), [listener]);
    else others.push(listener);
  }

  /** Tells the selected socket whose it is by who listens on its port, where nothing better is known. */
  attribute(store: SocketStore): void {
    const candidates = this.#byPort.get(store.localPort());
    if (candidates === undefined) return;
    this.#readAddress(store);
    const listener = this.#among(candidates);
    if (listener === undefined) return;
    if (record.stateOf(store) !== 'LISTEN') record.setFlag(store, BITS.inbound, true);
    const attribution = record.attributionOf(store);
    if (attribution === 'socket' || attribution === 'last-owner' || listener.owner === 0) return;
    const isProcessKnown = this.#owners.get(listener.owner).process !== null;
    // Of a listener whose process is not seen there is the pod, and the socket's own control group knows better.
    if (!isProcessKnown && this.#owners.get(store.get(WORD.owner)).pod !== undefined) return;
    store.set(WORD.owner, listener.owner);
    if (isProcessKnown) record.setAttribution(store, 'listener');
  }

  /** Bound to the address that is looked at, or to any. */
  #among(candidates: readonly Listener[]): Listener | undefined {
    const address = this.#address;
    const isV4 = address[0] === 0 && address[1] === 0 && address[2] === MAPPED;
    const any = isV4 ? ANY_V4 : ANY_V6;
    return (
      candidates.find((listener) => isSame(listener.address, address)) ??
      candidates.find((listener) => isSame(listener.address, any)) ??
      candidates.find((listener) => isV4 && listener.dualStack)
    );
  }

  #readAddress(store: SocketStore): void {
    const at = store.addressAt('local');
    const address = this.#address;
    if (store.family === 4) {
      address.set(ANY_V4);
      address[3] = store.words[at] as number;
    } else {
      for (let i = 0; i < 4; i++) address[i] = store.words[at + i] as number;
    }
  }
}

function isSame(a: Address, b: Address): boolean {
  return a[0] === b[0] && a[1] === b[1] && a[2] === b[2] && a[3] === b[3];
}
