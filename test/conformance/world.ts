/**
 * The engine, its sockets and a clock that only calls move: everything a script sees. Packets wait here with the
 * time they were sent; calls that cannot complete yet wait here until they can.
 */

import { SeededRandom } from '../../daemon/netsim/random.ts';
import type { Profile } from '../../daemon/tcp/profile.ts';
import { PROFILES } from '../../daemon/tcp/profiles.ts';
import type { Socket } from '../../daemon/tcp/sockets/socket.ts';
import { Sockets } from '../../daemon/tcp/sockets/sockets.ts';
import { createStack } from '../../daemon/tcp/stack.ts';
import type { TcpStack } from '../../daemon/tcp/types.ts';
import { addressKind, type IpAddress, ipFromBytes, sameAddress } from '../../daemon/wire/address.ts';
import type { Knobs } from './settings.ts';

/** The same for every script: a run can be repeated to the byte. */
const SEED = 1;
const MTU = 1500;
/** What packet tools take as the local end: the engine's own until the script names another. */
const ADDRESSES = [
  Uint8Array.of(192, 168, 0, 1),
  Uint8Array.of(0xfd, 0x3d, 0x0a, 0x0b, 0x17, 0xd6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1),
];
/** Bounds of what a client can make grow. */
const ADDRESSES_MAX = 1024;
const PACKETS_MAX = 65_536;
/** Rounds at one and the same time after which the engine is surely going in a circle. */
const ROUNDS_MAX = 100_000;

export interface Descriptor {
  readonly socket: Socket;
  nonBlocking: boolean;
}

export interface SentPacket {
  readonly packet: Uint8Array;
  readonly atUs: number;
}

/** A call whose reply is withheld. */
export interface Waiter {
  /** Completes the call if that is possible now. */
  readonly attempt: () => boolean;
  /** When it is to be tried at the latest. */
  readonly deadlineUs: number;
  /** The world ends: it will never complete. */
  readonly abandon: () => void;
}

export class World {
  nowUs = 0;
  readonly knobs: Knobs;
  readonly stack: TcpStack;
  readonly sockets: Sockets;
  readonly descriptors = new Map<number, Descriptor>();
  readonly waiters = new Set<Waiter>();
  readonly #standIns = new Set<IpAddress>(ADDRESSES.map((bytes) => ipFromBytes(bytes)));
  readonly #addresses: IpAddress[] = [...this.#standIns];
  readonly #packets: SentPacket[] = [];

  constructor(profile: Profile['name']) {
    const random = new SeededRandom(SEED);
    const bytes = (length: number) => random.bytes(length);
    this.knobs = { profile: { ...PROFILES[profile] }, mtu: MTU };
    const { knobs } = this;
    const addresses = this.#addresses;
    this.stack = createStack({
      addresses,
      get mtu() {
        return knobs.mtu;
      },
      random: bytes,
      profile: knobs.profile,
    });
    this.sockets = new Sockets({ stack: this.stack, addresses, profile: knobs.profile, random: bytes });
  }

  /** Makes an address the engine's own, if it can be one. */
  adopt(address: IpAddress): void {
    const kind = addressKind(address);
    if (kind === 'unspecified' || kind === 'multicast' || kind === 'broadcast') return;
    const own = this.#addresses;
    const known = own.find((one) => sameAddress(one, address));
    if (known !== undefined) {
      this.#standIns.delete(known);
      return;
    }
    // What stood in for it is free again: it may be the script's idea of the other end.
    const standIn = own.findIndex((one) => one.family === address.family && this.#standIns.has(one));
    if (standIn >= 0 && this.stack.usage().connections === 0) own[standIn] = address;
    else if (own.length < ADDRESSES_MAX) own.push(address);
  }

  /** Lets time pass, with everything that is due on the way happening at its own time. */
  advanceTo(untilUs: number): void {
    for (let rounds = 0; ; rounds += 1) {
      const dueUs = Math.ceil(Math.min(this.stack.nextDeadlineUs(), this.#waitersDueUs()));
      if (dueUs > untilUs) break;
      if (dueUs > this.nowUs) rounds = 0;
      if (rounds > ROUNDS_MAX) throw new Error(`the engine is due at ${dueUs} and never done`);
      this.nowUs = Math.max(dueUs, this.nowUs);
      this.stack.advance(this.nowUs);
      this.settle();
    }
    this.nowUs = Math.max(untilUs, this.nowUs);
  }

  /** Takes what the engine sends now, and completes the calls that can be. */
  settle(): void {
    for (let completed = true; completed; ) {
      for (let packet = this.stack.next(this.nowUs); packet; packet = this.stack.next(this.nowUs)) {
        if (this.#packets.length < PACKETS_MAX) this.#packets.push({ packet, atUs: this.nowUs });
      }
      this.sockets.sync();
      completed = false;
      for (const waiter of this.waiters) {
        if (!waiter.attempt()) continue;
        this.waiters.delete(waiter);
        completed = true;
      }
    }
  }

  /** The next packet; time runs from deadline to deadline until there is one. Undefined when there will be none. */
  nextPacket(): SentPacket | undefined {
    while (this.#packets.length === 0) {
      const dueUs = Math.ceil(this.stack.nextDeadlineUs());
      if (!Number.isFinite(dueUs)) return undefined;
      this.advanceTo(Math.max(dueUs, this.nowUs));
    }
    return this.#packets.shift();
  }

  #waitersDueUs(): number {
    let dueUs = Number.POSITIVE_INFINITY;
    for (const { deadlineUs } of this.waiters) {
      if (deadlineUs > this.nowUs) dueUs = Math.min(dueUs, deadlineUs);
    }
    return dueUs;
  }
}
