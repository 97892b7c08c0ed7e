/** Who accepts what comes to an address and port of a namespace: the owner of sockets that nobody holds. */

import type { AddressCache } from './address-cache.ts';
import { isMapped } from './address-cache.ts';
import type { Owners } from './owners.ts';
import * as record from './socket-record.ts';
import { BITS } from './socket-record.ts';
import type { SocketStore } from './socket-store.ts';
import { WORD } from './socket-store.ts';

interface Listener {
  readonly address: string;
  readonly dualStack: boolean;
  /** Number of its owner. */
  readonly owner: number;
}

export class Listeners {
  readonly #byPort = new Map<number, Listener[]>();
  readonly #owners: Owners;
  readonly #texts: AddressCache;

  constructor(owners: Owners, texts: AddressCache) {
    this.#owners = owners;
    this.#texts = texts;
  }

  /** @param store with a listener selected that has been attributed */
  add(store: SocketStore): void {
    const listener = {
      address: this.#addressOf(store),
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
    const listener = candidates === undefined ? undefined : this.#among(candidates, store);
    if (listener === undefined) return;
    if (record.stateOf(store) !== 'LISTEN') record.setFlag(store, BITS.inbound, true);
    const attribution = record.attributionOf(store);
    if (attribution === 'socket' || attribution === 'last-owner' || listener.owner === 0) return;
    // A listener whose process is not seen tells no more than the socket's own control group does.
    const { process } = this.#owners.get(listener.owner);
    if (process === null && this.#owners.get(store.get(WORD.owner)).pod !== undefined) return;
    store.set(WORD.owner, listener.owner);
    record.setAttribution(store, 'listener');
  }

  /** Bound to its address, or to any. */
  #among(candidates: readonly Listener[], store: SocketStore): Listener | undefined {
    const address = this.#addressOf(store);
    const v4 = store.family === 4 || isMapped(store.words, store.addressAt('local'));
    return (
      candidates.find((listener) => listener.address === address) ??
      candidates.find((listener) => listener.address === (v4 ? '0.0.0.0' : '::')) ??
      candidates.find((listener) => v4 && listener.dualStack)
    );
  }

  #addressOf(store: SocketStore): string {
    return this.#texts.text(store.words, store.addressAt('local'), store.family);
  }
}
