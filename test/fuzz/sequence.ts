/**
 * A run of segments, calls and leaps of time that a seed decides: one connection of an engine is brought into a
 * state, then anything happens to it. Even seeds open actively, odd ones passively.
 */

import * as assert from 'uvu/assert';
import { SeededRandom } from '../../daemon/netsim/random.ts';
import { createStack } from '../../daemon/tcp/stack.ts';
import type { ConnectionId, StackEvent, TcpInfo, TcpStack } from '../../daemon/tcp/types.ts';
import { sameBytes } from '../../daemon/wire/bytes.ts';
import { encodeIcmpError } from '../../daemon/wire/icmp-encode.ts';
import { ACK, FIN, flagNames, SYN, URG } from '../../daemon/wire/tcp-header.ts';
import { V4, V6 } from '../daemon/wire/support.ts';
import { anyOptions, anyProfile, exchange, isLie, SECOND_US } from './draws.ts';
import {
  type Bounds,
  checkConnection,
  checkOctets,
  checkPacket,
  checkStack,
  countedInputs,
  type Emitted,
  forgetBoards,
  WindowEdge,
} from './invariants.ts';
import { type FuzzSegment, fixTcpChecksum, octetAt, PacketMaker, type Ports } from './packets.ts';
import { anyPacket } from './wire.ts';

const CONNECTIONS_MAX = 6;
const BACKLOG = 2;
/** The engine must fall silent after so many packets at one moment. */
const BURST_MAX = 3000;
/** Timers that may run in turn until a connection with a silent peer has ended. */
const HOPS_MAX = 3000;
/** States in which a connection may stay for ever. */
const PATIENT = new Set(['ESTABLISHED', 'CLOSE-WAIT', 'FIN-WAIT-2']);

export interface Told {
  /** Packets that were put in. */
  inputs: number;
  /** Changes of state, `FROM>TO`, with their number. */
  readonly transitions: Map<string, number>;
}

/** Plays the run of a seed. Throws when the engine breaks a promise. */
export function playSequence(seed: number, told: Told, say?: (line: string) => void): void {
  forgetBoards();
  const run = new Sequence(seed, told, say);
  run.open();
  run.proceed();
  for (let steps = 20 + run.random.below(80); steps > 0; steps -= 1) run.step();
  run.end();
}

class Sequence {
  readonly random: SeededRandom;
  readonly #told: Told;
  readonly #say: ((line: string) => void) | undefined;
  readonly #passive: boolean;
  readonly #bounds: Bounds;
  readonly #stack: TcpStack;
  readonly #peer: PacketMaker;
  readonly #ports: Ports;
  readonly #offers: { timestamps: boolean; sack: boolean; shift: number | undefined };
  /** Initial number of the peer; near the end of the number space in half of the runs. */
  readonly #irs: number;
  #nowUs = 0;
  #id: ConnectionId | undefined;
  #listener: ConnectionId | undefined;
  #iss = 0;
  #edge = new WindowEdge();
  /** Octets that were given to the connection, and taken from it. */
  #given = 0;
  #taken = 0;
  /** All that comes has the octets that belong to its numbers. */
  readonly #honest: boolean;
  /** Packets the engine sent lately. */
  readonly #sent: Uint8Array[] = [];

  constructor(seed: number, told: Told, say: ((line: string) => void) | undefined) {
    const random = new SeededRandom(seed);
    this.random = random;
    this.#told = told;
    this.#say = say;
    this.#passive = seed % 2 === 1;
    this.#honest = random.chance(0.5);
    this.#irs = random.chance(0.5) ? -random.below(5000) >>> 0 : random.below(2 ** 32);
    const profile = anyProfile(random);
    const mtu = random.chance(0.7) ? 1500 : 1280 + random.below(8000);
    const { sendBufferBytes, receiveBufferBytes } = profile;
    this.#bounds = { connections: CONNECTIONS_MAX, mtu, sendBufferBytes, receiveBufferBytes };
    this.#peer = new PacketMaker(random, random.chance(0.5) ? 4 : 6);
    this.#ports = this.#passive ? { engine: 80, peer: 40_000 } : { engine: 40_000, peer: 80 };
    this.#offers = {
      timestamps: random.chance(0.6),
      sack: random.chance(0.7),
      shift: random.chance(0.7) ? random.below(15) : undefined,
    };
    this.#stack = createStack({
      addresses: [V4.a, V6.a],
      mtu,
      random: (length) => random.bytes(length),
      maxConnections: CONNECTIONS_MAX,
      profile,
    });
    say?.(`${profile.name}, IPv${this.#peer.family}, ${this.#passive ? 'passive' : 'active'}, mtu ${mtu}`);
  }

  get #info(): TcpInfo | undefined {
    return this.#id === undefined ? undefined : this.#stack.info(this.#id);
  }

  #isPeer(address: Uint8Array): boolean {
    const { bytes } = this.#peer.family === 4 ? V4.b : V6.b;
    return address.length === bytes.length && sameBytes(address, 0, bytes, 0, bytes.length);
  }

  open(): void {
    const { random } = this;
    if (this.#passive) {
      const listened = this.#stack.listen({ port: this.#ports.engine }, BACKLOG);
      if (listened.ok) this.#listener = listened.value;
      this.#opening(SYN, random.chance(0.2) ? { text: random.below(1000) } : {});
      return;
    }
    const address = this.#peer.family === 4 ? V4.b : V6.b;
    const opened = this.#stack.connect(
      { remote: { address, port: this.#ports.peer }, local: { port: this.#ports.engine } },
      this.#nowUs,
    );
    assert.ok(opened.ok);
    if (opened.ok) this.#id = opened.value;
    this.#settle();
  }

  /** As far as a decent connection gets: through the handshake, some text, and the states of the close. */
  proceed(): void {
    const { random } = this;
    const depth = random.below(8);
    if (depth === 0) return;
    if (!this.#passive && random.chance(0.2)) {
      this.#opening(SYN);
      if (depth === 1) return;
    }
    this.#opening(this.#passive ? ACK : SYN | ACK);
    if (depth <= 2) return;
    if (random.chance(0.5)) this.#send(random.below(4000));
    if (depth <= 4) return;
    const first = random.chance(0.5);
    const acked = random.chance(0.7);
    if (first) this.#closes();
    if (first && acked) this.#decent(ACK);
    if (depth === 5) return;
    if (!first || random.chance(0.8)) this.#decent(FIN | ACK, acked ? 0 : -1);
    if (depth === 6) return;
    if (!first) this.#closes();
    if (!first && depth === 7 && random.chance(0.3)) this.#decent(ACK);
  }

  step(): void {
    const { random } = this;
    const kind = random.below(100);
    if (kind < 62 || (this.#honest && isLie(kind))) this.#anySegment();
    else if (kind < 67) this.#damaged();
    else if (kind < 70) this.#icmp();
    else if (kind < 71) this.#input(anyPacket(random), 'anything');
    else if (kind < 74) this.#echoed();
    else if (kind < 78) this.#stranger();
    else if (kind < 90) this.#call();
    else this.#timePasses();
    this.#settle();
  }

  /** Everything is given up, at once or by time, and nothing is left. */
  end(): void {
    const { random } = this;
    if (random.chance(0.1)) this.#wait();
    if (this.#listener !== undefined) this.#stack.close(this.#listener, this.#nowUs);
    for (const id of [...this.#stack.connections()]) this.#stack.abort(id, this.#nowUs);
    this.#settle();
    const usage = this.#stack.usage();
    assert.equal(usage, { connections: 0, listeners: 0, timers: 0, bufferBytes: 0, queuedReplies: 0 });
    assert.is(this.#stack.nextDeadlineUs(), Number.POSITIVE_INFINITY, 'no timer is left');
  }

  /** Nobody says anything more: each timer fires, and ends what waits for the peer. */
  #wait(): void {
    for (let hops = 0; ; hops += 1) {
      const dueUs = this.#stack.nextDeadlineUs();
      if (dueUs === Number.POSITIVE_INFINITY) break;
      assert.ok(hops < HOPS_MAX, `timers run on in ${this.#info?.state}`);
      this.#nowUs = Math.max(dueUs, this.#nowUs);
      this.#say?.(`  time ${this.#nowUs}`);
      this.#stack.advance(this.#nowUs);
      this.#settle();
    }
    for (const id of this.#stack.connections()) {
      const info = this.#stack.info(id);
      assert.ok(PATIENT.has(info?.state ?? ''), `nothing ends ${info?.state}`);
      assert.is(
        (info?.unsentBytes ?? 0) + (info?.unackedBytes ?? 0),
        0,
        `${info?.state} has text and no timer`,
      );
    }
  }

  /** A segment of the handshake as it should be. */
  #opening(flags: number, { text = 0 } = {}): void {
    if (flags & SYN) this.#peer.synOptions(this.#offers, this.#nowUs);
    else this.#peer.anyOptions(this.#info, this.#nowUs);
    const seq = flags & SYN ? this.#irs : this.#irs + 1;
    const window = this.random.chance(0.9) ? 1000 + this.random.below(64_000) : this.random.below(3);
    this.#put(this.#ports, { seq, ack: flags & ACK ? this.#iss + 1 : 0, flags, window, text });
    this.#settle();
  }

  /** What the peer would say if it had received everything but `missing` octets. */
  #decent(flags: number, missing = 0): void {
    const info = this.#info;
    const seq = info?.rcvNxt ?? this.#irs + 1;
    this.#peer.anyOptions(info, this.#nowUs);
    this.#put(this.#ports, { seq, ack: (info?.sndNxt ?? 0) + missing, flags, window: 60_000, text: 0 });
    this.#settle();
  }

  #anySegment(): void {
    const { random } = this;
    const info = this.#info;
    const flags = this.#peer.anyFlags();
    if (flags & SYN && random.chance(0.7)) this.#peer.synOptions(this.#offers, this.#nowUs);
    else this.#peer.anyOptions(info, this.#nowUs);
    const next = info?.rcvNxt ?? this.#irs + (flags & SYN ? 0 : 1);
    const highest = info?.sndNxt ?? this.#iss + 1;
    const lowest = info?.sndUna ?? this.#iss;
    const between = lowest + random.below(Math.max((highest - lowest) | 0, 0) + 1);
    this.#put(this.#ports, {
      seq: this.#near(next, info?.rcvWnd ?? 1000),
      ack: random.chance(0.5) ? this.#near(highest, 3000) : random.chance(0.5) ? between : lowest,
      flags,
      window: random.chance(0.15) ? random.below(3) : random.below(65_536),
      text: random.chance(0.5) ? 0 : random.below(1400),
      trafficClass: random.chance(0.3) ? random.below(256) : 0,
      urgentPointer: flags & URG || random.chance(0.05) ? this.#urgentPointer() : 0,
    });
  }

  #urgentPointer(): number {
    return this.random.chance(0.6) ? this.random.below(1500) : this.random.below(65_536);
  }

  /** A number that matters, one near it, one within the window, or any. */
  #near(center: number, reach: number): number {
    const { random } = this;
    const kind = random.below(20);
    if (kind < 11) return center;
    if (kind < 14) return center + random.below(20) - 10;
    if (kind < 17) return center + random.below(reach + 10);
    if (kind < 19) return center - random.below(5000);
    return random.below(2 ** 32);
  }

  /** A good segment of which some bytes are not; its checksum fits in most cases. */
  #damaged(): void {
    const { random } = this;
    const info = this.#info;
    const segment = { seq: info?.rcvNxt ?? 0, ack: info?.sndNxt ?? 0, flags: ACK, window: 9000, text: 20 };
    const packet = this.#peer.anyOptions(info, this.#nowUs).packet(this.#ports, segment).slice();
    for (let changes = 1 + random.below(4); changes > 0; changes -= 1) {
      packet[random.below(Math.min(packet.length, 90))] = random.chance(0.3) ? 255 : random.below(256);
    }
    const cut = random.chance(0.3) ? packet.subarray(0, random.below(packet.length)) : packet;
    if (cut === packet && random.chance(0.8)) fixTcpChecksum(packet, this.#peer.family);
    this.#input(cut, 'damaged');
  }

  #icmp(): void {
    const { random } = this;
    const about = this.#sent[random.below(this.#sent.length)];
    if (about === undefined) return;
    const v4 = (about[0] as number) >>> 4 === 4;
    const type = v4
      ? ([3, 3, 3, 4, 5, 11, 12][random.below(7)] ?? 3)
      : ([1, 1, 2, 2, 3, 4][random.below(6)] ?? 1);
    const code = v4 && type === 3 && random.chance(0.5) ? 4 : random.below(16);
    const mtu = random.chance(0.8) ? random.below(1600) : random.below(2 ** 32);
    this.#input(
      encodeIcmpError(about, (v4 ? V4 : V6).b.bytes, type, code, mtu),
      `icmp ${type}/${code} ${mtu}`,
    );
  }

  /** A packet of the engine comes back to it, as it was or with its ends exchanged. */
  #echoed(): void {
    const packet = this.#sent[this.random.below(this.#sent.length)]?.slice();
    if (packet === undefined) return;
    if (this.random.chance(0.6)) {
      const v4 = (packet[0] as number) >>> 4 === 4;
      const [at, bytes, tcp] = v4 ? [12, 4, 20] : [8, 16, 40];
      exchange(packet, at, bytes);
      exchange(packet, tcp, 2);
    }
    this.#input(packet, 'echo');
  }

  /** Somebody else, at the same port or at none. */
  #stranger(): void {
    const { random } = this;
    const ports = {
      engine: random.chance(0.7) ? this.#ports.engine : random.below(65_536),
      peer: 1000 + random.below(6),
    };
    const flags = random.chance(0.5) ? SYN : this.#peer.anyFlags();
    this.#peer.synOptions(this.#offers, this.#nowUs);
    const ack = random.chance(0.5) ? this.#iss + 1 : random.below(2 ** 32);
    this.#put(ports, {
      seq: random.below(2 ** 32),
      ack,
      flags,
      window: random.below(65_536),
      text: random.below(3),
    });
  }

  #call(): void {
    const { random } = this;
    const stack = this.#stack;
    const id = this.#id ?? this.#listener;
    if (id === undefined) return;
    const kind = random.below(40);
    this.#say?.(`  call ${kind}`);
    if (kind < 14) this.#send(random.below(random.chance(0.3) ? 12 : 4000));
    else if (kind < 24) this.#receive(random.chance(0.5) ? 1e9 : random.below(3000));
    else if (kind < 27) stack.shutdown(id, this.#nowUs);
    else if (kind < 29) stack.close(id, this.#nowUs);
    else if (kind === 29) stack.abort(id, this.#nowUs);
    else if (kind === 30 && random.chance(0.3)) stack.forget(id, this.#nowUs);
    else if (kind < 36) stack.configure(id, anyOptions(random), this.#nowUs);
    else if (this.#listener !== undefined) stack.relisten(this.#listener, random.below(4));
    if (this.#listener === id && stack.usage().listeners === 0) this.#listener = undefined;
  }

  #send(bytes: number): void {
    if (this.#id === undefined) return;
    const how = { more: this.random.chance(0.1), urgent: this.random.chance(0.1) };
    const iss = this.#info?.iss ?? 0;
    const text = Uint8Array.from({ length: bytes }, (_, n) => octetAt(iss + 1 + this.#given + n));
    const sent = this.#stack.send(this.#id, text, this.#nowUs, how);
    if (sent.ok) this.#given += sent.value;
    this.#settle();
  }

  #receive(most: number): void {
    if (this.#id === undefined) return;
    const first = (this.#info?.irs ?? 0) + 1 + this.#taken;
    const got = this.#stack.receive(this.#id, most, this.#nowUs);
    if (!got.ok) return;
    this.#taken += got.value.data.length;
    if (this.#honest) checkOctets(got.value.data, first, 'read');
  }

  #closes(): void {
    if (this.#id !== undefined) this.#stack.shutdown(this.#id, this.#nowUs);
    this.#settle();
  }

  /** To the next deadline or just before it, some milliseconds, or a leap. */
  #timePasses(): void {
    const { random } = this;
    const dueUs = this.#stack.nextDeadlineUs();
    const kind = random.below(10);
    if (kind < 5 && Number.isFinite(dueUs)) this.#nowUs = Math.max(this.#nowUs, dueUs - (kind === 0 ? 1 : 0));
    else if (kind < 9) this.#nowUs += random.below(200_000);
    else this.#nowUs += random.below(random.chance(0.1) ? 40 * 86_400 * SECOND_US : 100 * SECOND_US);
    this.#say?.(`  time ${this.#nowUs}`);
  }

  #put(ports: Ports, segment: FuzzSegment): void {
    const { seq, ack, flags, window, text } = segment;
    this.#input(
      this.#peer.packet(ports, segment),
      this.#say &&
        `${flagNames(flags).join(' ')} seq ${(seq - this.#irs) | 0} ack ${(ack - this.#iss) | 0} win ${window} len ${text} from ${ports.peer}`,
    );
  }

  #input(packet: Uint8Array, what: string | undefined): void {
    this.#told.inputs += 1;
    this.#say?.(`< ${what} ${Buffer.from(packet.subarray(0, 100)).toString('hex')}`);
    const counted = countedInputs(this.#stack.counters);
    this.#stack.input(packet, this.#nowUs);
    assert.ok(countedInputs(this.#stack.counters) > counted, 'what came is counted');
  }

  #turn(): void {
    const stack = this.#stack;
    stack.advance(this.#nowUs);
    let packets = 0;
    for (let packet = stack.next(this.#nowUs); packet; packet = stack.next(this.#nowUs)) {
      packets += 1;
      assert.ok(packets < BURST_MAX, 'it falls silent');
      if (this.#sent.push(packet.slice()) > 6) this.#sent.shift();
      const emitted = checkPacket(packet, this.#bounds);
      if (emitted !== undefined) this.#sentOne(emitted, packet);
    }
  }

  /** A turn of the engine, and a look at all it answers. */
  #settle(): void {
    const stack = this.#stack;
    this.#turn();
    // What was sent may have set a timer that is due at once.
    if (stack.nextDeadlineUs() <= this.#nowUs) this.#turn();
    for (const event of stack.events()) this.#event(event);
    checkStack(stack, this.#nowUs, this.#bounds);
    const info = this.#info;
    if (info !== undefined) checkConnection(info, this.#bounds);
  }

  #sentOne(emitted: Emitted, packet: Uint8Array): void {
    const { sourcePort, destinationPort, to } = emitted;
    if (sourcePort !== this.#ports.engine || destinationPort !== this.#ports.peer) return;
    if (!this.#isPeer(to)) return;
    if (emitted.flags & SYN) this.#iss = emitted.seq;
    this.#peer.tsSeen = emitted.tsValue ?? this.#peer.tsSeen;
    const info = this.#info;
    if (info !== undefined) {
      this.#edge.sent(emitted, info.rcvWindShift ?? 0);
      checkOctets(packet.subarray(packet.length - emitted.length), emitted.seq, 'sent');
    }
    this.#say?.(
      `> ${flagNames(emitted.flags).join(' ')} seq ${(emitted.seq - this.#iss) | 0} ack ${(emitted.ack - this.#irs) | 0} win ${emitted.window} len ${emitted.length}`,
    );
  }

  #event(event: StackEvent): void {
    if (event.kind === 'accepted') this.#stack.accept(event.listener);
    if (event.kind !== 'state') return;
    const { transitions } = this.#told;
    const key = `${event.from}>${event.to}`;
    transitions.set(key, (transitions.get(key) ?? 0) + 1);
    this.#say?.(`  ${event.id}: ${key}`);
    if (this.#info !== undefined || event.to === 'CLOSED') return;
    const remote = this.#stack.info(event.id)?.remote;
    if (remote?.port !== this.#ports.peer || !this.#isPeer(remote.address.bytes)) return;
    this.#id = event.id;
    this.#edge = new WindowEdge();
    this.#given = 0;
    this.#taken = 0;
  }
}
