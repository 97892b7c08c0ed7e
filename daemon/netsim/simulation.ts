/**
 * Stacks over a seeded network in virtual time. The runner hops from event to event, so a day of silence costs
 * nothing, and the same seed gives the same run to the microsecond.
 */

import { createStack } from '../tcp/stack.ts';
import type { StackEvent, StackOptions, TcpStack } from '../tcp/types.ts';
import type { IpAddress } from '../wire/address.ts';
import { sameBytes } from '../wire/bytes.ts';
import { decodeIp } from '../wire/ip.ts';
import { type Fate, Link, type LinkOptions } from './link.ts';
import { SeededRandom } from './random.ts';

/** What a host does with the events of its stack. */
export type Application = (event: StackEvent, stack: TcpStack, nowUs: number) => void;

export interface HostOptions {
  readonly name: string;
  readonly addresses: readonly IpAddress[];
  /** Of the host's own link. */
  readonly mtu?: number;
  readonly profile?: StackOptions['profile'];
  readonly maxConnections?: number;
  readonly application?: Application;
}

export interface SimulationOptions {
  readonly seed: number;
  readonly hosts: readonly HostOptions[];
  /** The way from one host to another. */
  readonly link: LinkOptions | ((from: string, to: string) => LinkOptions);
  /** Told of every packet as it is sent. */
  readonly onPacket?: (record: PacketRecord) => void;
}

/** A packet on its way, for transcripts. */
export interface PacketRecord {
  readonly atUs: number;
  readonly from: string;
  readonly to: string;
  readonly fate: Fate;
  /** As it was sent. */
  readonly packet: Uint8Array;
  /** What it is, when no stack sent it. */
  readonly note?: string;
}

export interface Host {
  readonly name: string;
  readonly stack: TcpStack;
  readonly addresses: readonly IpAddress[];
  readonly application: Application | undefined;
}

interface Arrival {
  readonly atUs: number;
  /** Arrivals at the same time keep the order they were sent in. */
  readonly order: number;
  readonly host: Host;
  readonly packet: Uint8Array;
}

const MTU = 1500;

export class Simulation {
  nowUs = 0;
  readonly hosts: readonly Host[];
  readonly #options: SimulationOptions;
  readonly #random: SeededRandom;
  readonly #links = new Map<string, Link>();
  readonly #arrivals: Arrival[] = [];
  #order = 0;

  constructor(options: SimulationOptions) {
    this.#options = options;
    this.#random = new SeededRandom(options.seed);
    this.hosts = options.hosts.map((host) => ({
      name: host.name,
      addresses: host.addresses,
      application: host.application,
      stack: createStack({
        addresses: host.addresses,
        mtu: host.mtu ?? MTU,
        random: (length) => this.#random.bytes(length),
        ...(host.profile === undefined ? {} : { profile: host.profile }),
        ...(host.maxConnections === undefined ? {} : { maxConnections: host.maxConnections }),
      }),
    }));
  }

  host(name: string): Host {
    const found = this.hosts.find((host) => host.name === name);
    if (found === undefined) throw new Error(`the simulation has no host ${name}`);
    return found;
  }

  /** Lets every host send what it has to send now and take its events, until all are quiet. */
  settle(): void {
    for (let busy = true; busy; ) {
      busy = false;
      for (const host of this.hosts) {
        for (let packet = host.stack.next(this.nowUs); packet; packet = host.stack.next(this.nowUs)) {
          busy = true;
          this.#send(host, packet);
        }
        for (const event of host.stack.events()) {
          busy = true;
          host.application?.(event, host.stack, this.nowUs);
        }
      }
    }
  }

  /** When something happens next; Infinity when nothing ever will. */
  get nextUs(): number {
    const arrivalUs = this.#arrivals[0]?.atUs ?? Number.POSITIVE_INFINITY;
    return this.hosts.reduce((first, { stack }) => Math.min(first, stack.nextDeadlineUs()), arrivalUs);
  }

  /** Runs until `untilUs`, until nothing more can happen, or until `done` says so; answers whether it did. */
  run(untilUs: number, done: () => boolean = () => false): boolean {
    this.settle();
    while (!done()) {
      const { nextUs } = this;
      if (nextUs > untilUs || nextUs === Number.POSITIVE_INFINITY) {
        if (Number.isFinite(untilUs)) this.nowUs = Math.max(this.nowUs, untilUs);
        return false;
      }
      this.nowUs = Math.max(this.nowUs, nextUs);
      this.#deliver();
      for (const { stack } of this.hosts) stack.advance(this.nowUs);
      this.settle();
    }
    return true;
  }

  /** Puts a packet on the network that no stack sent. */
  inject(to: string, packet: Uint8Array, atUs = this.nowUs): void {
    this.#arrive({ atUs, order: this.#order++, host: this.host(to), packet });
  }

  /** Sends a packet that no stack made, from where `from` is. */
  transmit(from: string, packet: Uint8Array, note: string): void {
    this.#send(this.host(from), packet, note);
  }

  #deliver(): void {
    for (let first = this.#arrivals[0]; first && first.atUs <= this.nowUs; first = this.#arrivals[0]) {
      this.#arrivals.shift();
      first.host.stack.input(first.packet, this.nowUs);
    }
  }

  #send(from: Host, packet: Uint8Array, note?: string): void {
    const to = this.#destinationOf(packet);
    const about = { atUs: this.nowUs, from: from.name, packet, ...(note === undefined ? {} : { note }) };
    if (to === undefined) {
      this.#options.onPacket?.({ ...about, to: '', fate: 'nowhere' });
      return;
    }
    const copy = packet.slice();
    const passage = this.#link(from, to).pass(copy, this.nowUs);
    const { fate, arrivals, answer } = passage;
    this.#options.onPacket?.({ ...about, to: to.name, fate });
    for (const arrival of arrivals) this.#arrive({ ...arrival, order: this.#order++, host: to });
    if (answer !== undefined) {
      const atUs = this.nowUs + this.#link(from, to).options.delayUs;
      this.#arrive({ atUs, order: this.#order++, host: from, packet: answer });
    }
  }

  #arrive(arrival: Arrival): void {
    let at = this.#arrivals.length;
    while (at > 0 && isLater(this.#arrivals[at - 1], arrival)) at -= 1;
    this.#arrivals.splice(at, 0, arrival);
  }

  #destinationOf(packet: Uint8Array): Host | undefined {
    const ip = decodeIp(packet);
    if (!ip.ok) throw new Error(`a stack sent a packet that is none: ${ip.reason}`);
    const { destination, family } = ip.value;
    return this.hosts.find(({ addresses }) =>
      addresses.some(
        (address) =>
          address.family === family && sameBytes(address.bytes, 0, packet, destination, address.bytes.length),
      ),
    );
  }

  #link(from: Host, to: Host): Link {
    const key = `${from.name} ${to.name}`;
    const known = this.#links.get(key);
    if (known !== undefined) return known;
    const { link } = this.#options;
    const options = typeof link === 'function' ? link(from.name, to.name) : link;
    const made = new Link(options, this.#random);
    this.#links.set(key, made);
    return made;
  }
}

function isLater(a: Arrival | undefined, b: Arrival): boolean {
  return a !== undefined && (a.atUs > b.atUs || (a.atUs === b.atUs && a.order > b.order));
}
