/**
 * Watches over the device: who manages this machine's network may set it down, or take its addresses or routes away.
 * Then silence would be the target's fault to all appearances; so it is set right again, and whoever probes is told.
 */

import type { Condition } from '#base/errors.ts';
import { conditionOf, FinwaitError } from '#base/errors.ts';
import type { PlacedLink } from './host-link.ts';
import { placeLink } from './host-link.ts';
import { LinkEvents } from './link-events.ts';
import { NetlinkError, NoAnswer, netlinkFailed } from './netlink-socket.ts';
import type { Prefix } from './prefix.ts';
import type { Routing } from './routing.ts';

/** Between two looks, so that a program that keeps at it does not keep the engine from its work. */
const LOOK_SPACING_MS = 50;
/** Between two attempts to set right what would not be. */
const RETRY_MS = 1_000;
/** How long it is told that something was set right. */
const TELL_MS = 60_000;

/** `restored`: it was not as it should be since the last look, and is now. `broken`: it is not, and probes would blame the target. */
export type DeviceState =
  | { readonly kind: 'intact' | 'restored' }
  | { readonly kind: 'broken'; readonly condition: Condition };

const INTACT: DeviceState = { kind: 'intact' };
const RESTORED: DeviceState = { kind: 'restored' };

export interface GuardCounters {
  tun_changes_by_others: number;
  tun_restore_failures: number;
}

export class HostGuard implements Disposable {
  readonly counters: GuardCounters = { tun_changes_by_others: 0, tun_restore_failures: 0 };
  readonly #routing: Routing;
  readonly #link: PlacedLink;
  readonly #events: LinkEvents;
  /** What was in order at the start. A machine whose rules lead the engine's own prefix elsewhere has its own condition. */
  readonly #kept: readonly Prefix[];
  #state: DeviceState = INTACT;
  #dirty = false;
  #nextLookMs = 0;
  #restoredMs: number | undefined;

  /** @throws NetlinkError */
  constructor(routing: Routing, link: PlacedLink) {
    this.#routing = routing;
    this.#link = link;
    this.#events = new LinkEvents(link.index);
    this.#kept = [link.v4, link.v6]
      .filter((prefix) => prefix !== undefined)
      .filter((p) => this.#leadsHere(p));
  }

  /** Readable when a look is due. */
  get fd(): number {
    return this.#events.fd;
  }

  get eventCounters(): Readonly<LinkEvents['counters']> {
    return this.#events.counters;
  }

  /**
   * Sets the device right if it is not. Costs one system call when nothing has happened.
   * @param nowMs any clock that never steps back
   * @throws FinwaitError TUN_LOST when it is gone for good
   */
  look(nowMs: number): DeviceState {
    if (this.#events.changed()) this.#dirty = true;
    if (!this.#dirty && this.#state.kind !== 'broken') return INTACT;
    if (nowMs < this.#nextLookMs)
      return this.#dirty && this.#state.kind === 'intact' ? RESTORED : this.#state;
    this.#dirty = false;
    this.#nextLookMs = nowMs + LOOK_SPACING_MS;
    const wasBroken = this.#state.kind === 'broken';
    const state = this.#setRight(nowMs);
    this.#state = state.kind === 'restored' ? INTACT : state;
    return wasBroken && state.kind === 'intact' ? RESTORED : state;
  }

  condition(nowMs: number): Condition | undefined {
    if (this.#state.kind === 'broken') return this.#state.condition;
    if (this.#restoredMs === undefined || nowMs - this.#restoredMs > TELL_MS) return undefined;
    const { name } = this.#link;
    return {
      code: 'TUN_CHANGED',
      message: `something else set ${name} down or took its addresses or routes away; finwait set it right again`,
      hint: hintFor(name),
    };
  }

  #setRight(nowMs: number): DeviceState {
    try {
      if (this.#isInOrder()) return INTACT;
      this.counters.tun_changes_by_others++;
      placeLink(this.#routing, this.#link);
      // What this itself changed is not to be looked at again.
      this.#events.changed();
      if (!this.#isInOrder()) throw new Error('the kernel took it and it is not so');
      this.#restoredMs = nowMs;
      return RESTORED;
    } catch (error) {
      if (error instanceof FinwaitError && error.code === 'TUN_LOST') throw error;
      if (!(error instanceof NoAnswer)) return this.#broken(error, nowMs);
      this.#dirty = true; // How it is is not known yet.
      return RESTORED;
    }
  }

  #isInOrder(): boolean {
    const { index, name, mtu } = this.#link;
    const link = this.#routing.link(index);
    if (link?.name !== name) throw tunLost(name);
    return link.up && link.mtu === mtu && this.#kept.every((prefix) => this.#leadsHere(prefix));
  }

  /** Whether the kernel's answers to the engine go into the device, and the host's own address is one. */
  #leadsHere({ host, engine }: Prefix): boolean {
    const toEngine = this.#routing.lookUp({ destination: engine.bytes });
    const toHost = this.#routing.lookUp({ destination: host.bytes });
    return (
      toEngine.ok && toEngine.route.oif === this.#link.index && toHost.ok && toHost.route.type === 'local'
    );
  }

  #broken(error: unknown, nowMs: number): DeviceState {
    this.counters.tun_restore_failures++;
    this.#nextLookMs = nowMs + RETRY_MS;
    const { name } = this.#link;
    const failed = error instanceof NetlinkError ? netlinkFailed(error) : error;
    const why = failed instanceof FinwaitError ? conditionOf(failed).message : (failed as Error).message;
    return {
      kind: 'broken',
      condition: {
        code: 'TUN_CHANGED',
        message: `something else set ${name} down or took its addresses or routes away, and finwait cannot set it right: ${why}`,
        hint: hintFor(name),
      },
    };
  }

  [Symbol.dispose](): void {
    this.#events[Symbol.dispose]();
  }
}

export function tunLost(device: string): FinwaitError {
  return new FinwaitError(
    'TUN_LOST',
    `the TUN device ${device} was removed, renamed or moved away while finwait used it`,
    `find out who does that (\`ip monitor link\`), and have them leave ${device} alone`,
  );
}

function hintFor(device: string): string {
  return `have the program that manages this machine's network leave ${device} alone (NetworkManager: unmanaged-devices=interface-name:finwait*; systemd-networkd: a .network file with Unmanaged=yes)`;
}
