/** LISTEN: ports that connections are accepted on. RFC 9293 sections 3.9.1.1 and 3.10.7.2 */

import type { Family, IpAddress } from '../wire/address.ts';
import { sameAddress } from '../wire/address.ts';
import type { Connection } from './connection.ts';
import type { Settings } from './settings.ts';
import type { ConnectionId } from './types.ts';

export interface Listener {
  readonly id: ConnectionId;
  /** Undefined: any of the engine's addresses, or any of that family. */
  readonly address: IpAddress | undefined;
  readonly family: Family | undefined;
  readonly port: number;
  /** Most connections in SYN-RECEIVED, and most that wait for `accept` when another SYN comes. */
  backlog: number;
  /** What its connections inherit. */
  readonly settings: Settings;
  readonly halfOpen: Set<Connection>;
  /** Connections that were opened and that nobody has accepted, oldest first; also those that ended meanwhile. */
  readonly waiting: Set<Connection>;
}

/** As Linux counts (sk_acceptq_is_full): one more than the backlog can wait. */
export function isAcceptQueueFull({ waiting, backlog }: Listener): boolean {
  return waiting.size > backlog;
}

export function isSynQueueFull({ halfOpen, backlog }: Listener): boolean {
  return halfOpen.size >= Math.max(backlog, 1);
}

export class Listeners {
  readonly #byPort = new Map<number, Listener[]>();
  readonly #byId = new Map<ConnectionId, Listener>();

  get size(): number {
    return this.#byId.size;
  }

  [Symbol.iterator](): IterableIterator<Listener> {
    return this.#byId.values();
  }

  get(id: ConnectionId): Listener | undefined {
    return this.#byId.get(id);
  }

  /** Files a listener; false when another listens there already. */
  add(listener: Listener): boolean {
    const others = this.#byPort.get(listener.port) ?? [];
    const taken = others.some(({ address, family }) =>
      address === undefined || listener.address === undefined
        ? address === listener.address && (family ?? listener.family) === (listener.family ?? family)
        : sameAddress(address, listener.address),
    );
    if (taken) return false;
    this.#byPort.set(listener.port, [...others, listener]);
    this.#byId.set(listener.id, listener);
    return true;
  }

  remove(listener: Listener): void {
    this.#byId.delete(listener.id);
    const left = (this.#byPort.get(listener.port) ?? []).filter((other) => other !== listener);
    if (left.length === 0) this.#byPort.delete(listener.port);
    else this.#byPort.set(listener.port, left);
  }

  /** Who listens there; one that named the address comes before one that takes any. */
  find(address: IpAddress, port: number): Listener | undefined {
    const all = this.#byPort.get(port);
    if (all === undefined) return undefined;
    return (
      all.find((listener) => listener.address !== undefined && sameAddress(listener.address, address)) ??
      all.find(
        (listener) =>
          listener.address === undefined && (listener.family ?? address.family) === address.family,
      )
    );
  }
}
