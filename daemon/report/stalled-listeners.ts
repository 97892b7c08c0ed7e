/**
 * Listeners whose programs do not accept. The kernel completes a handshake on a program's behalf and keeps the
 * connection in the accept queue until the program takes it, even one that was reset meanwhile. So probing a
 * stalled listener would fill its queue with finwait's own connections and shut out its clients: it is left in
 * peace, and named.
 */

import type { Condition } from '#base/errors.ts';
import { hostPortText } from '#base/host-port.ts';
import type { Listener } from '#contract';

export class StalledListeners {
  /** Listeners that had somebody waiting in the last sweep. */
  #waiting = new Set<string>();
  #stalled: readonly Listener[] = [];

  /** Takes a sweep's listeners; one with connections waiting in two sweeps in a row is stalled. */
  update(listeners: readonly Listener[]): void {
    const waiting = listeners.filter(({ acceptQueue }) => acceptQueue > 0);
    this.#stalled = waiting.filter((listener) => this.#waiting.has(keyOf(listener)));
    this.#waiting = new Set(waiting.map(keyOf));
  }

  has(listener: Listener): boolean {
    const key = keyOf(listener);
    return this.#stalled.some((stalled) => keyOf(stalled) === key);
  }

  /** Names the stalled listener of the lowest port; without numbers that change from sweep to sweep. */
  condition(): Condition | undefined {
    const [first] = this.#stalled.toSorted((a, b) => a.local.port - b.local.port);
    if (first === undefined) return undefined;
    const holder = first.process === null ? 'its program' : `${first.process.name}/${first.process.pid}`;
    const where = hostPortText(first.local.address, first.local.port);
    return {
      code: 'LISTENER_STALLED',
      message: `connections wait at ${where} and ${holder} does not accept them (room for ${first.backlog})`,
      hint: 'see what the program is doing: once its accept queue is full, clients time out; finwait sockets -l shows the queues of all listeners',
    };
  }
}

function keyOf({ local, family }: Listener): string {
  return `${family} ${hostPortText(local.address, local.port)}`;
}
