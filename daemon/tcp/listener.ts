/** LISTEN: ports that connections are accepted on. RFC 9293 sections 3.9.1.1 and 3.10.7.2 */

import type { IpAddress } from '../wire/address.ts';
import { sameAddress } from '../wire/address.ts';
import type { Connection } from './connection.ts';
import type { ConnectionId } from './types.ts';

export interface Listener {
  readonly id: ConnectionId;
  /** Undefined: any of the engine's addresses. */
  readonly address: IpAddress | undefined;
  readonly port: number;
  /** Most connections in SYN-RECEIVED. */
  readonly backlog: number;
  readonly halfOpen: Set<Connection>;
}

export class Listeners {
  readonly #byPort = new Map<number, Listener[]>();
  readonly #byId = new Map<ConnectionId, Listener>();

  get size(): number {
    return this.#byId.size;
  }

  get(id: ConnectionId): Listener | undefined {
    return this.#byId.get(id);
  }

  /** Files a listener; false when another listens there already. */
  add(listener: Listener): boolean {
    const others = this.#byPort.get(listener.port) ?? [];
    const taken = others.some(({ address }) =>
      address === undefined || listener.address === undefined
        ? address === listener.address
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
      all.find((listener) => listener.address === undefined)
    );
  }
}
