/**
 * Tests that read like a packet trace: what the engine `receives` from a peer that is made by hand, what it `sends`,
 * and when it is silent. Sequence numbers are relative to each side's initial one, times are milliseconds.
 *
 *     const t = established();
 *     t.receives('ACK', { seq: 1, ack: 1, data: 'abc' });
 *     t.silentUntil(39);
 *     t.sendsAt(40, 'ACK', { seq: 1, ack: 4 });
 */

import * as assert from 'uvu/assert';
import { SeededRandom } from '../../../daemon/netsim/random.ts';
import type { Profile } from '../../../daemon/tcp/profile.ts';
import { FINWAIT_PROFILE } from '../../../daemon/tcp/profiles/finwait.ts';
import { createStack } from '../../../daemon/tcp/stack.ts';
import type {
  ConnectionId,
  ConnectOptions,
  EndReason,
  EngineResult,
  StackEvent,
  StateName,
  TcpInfo,
  TcpStack,
} from '../../../daemon/tcp/types.ts';
import type { IpAddress } from '../../../daemon/wire/address.ts';
import { checksumAdd, checksumFinish, pseudoHeaderSum } from '../../../daemon/wire/checksum.ts';
import { encodeIcmpError } from '../../../daemon/wire/icmp-encode.ts';
import { decodeIp, PROTOCOL_TCP } from '../../../daemon/wire/ip.ts';
import { type Seq, seqAdd, seqDiff } from '../../../daemon/wire/seq.ts';
import { decodeTcpHeader, flagNames } from '../../../daemon/wire/tcp-header.ts';
import {
  decodeTcpOptions,
  encodeTcpOptions,
  NO_OPTIONS,
  type TcpOptions,
} from '../../../daemon/wire/tcp-options.ts';
import { tcpPacket, V4, V6 } from '../wire/support.ts';

/** `SYN`, `SYN ACK`, `FIN ACK`, `ACK PSH`: names in any order. */
export type Flags = string;

export interface Fields {
  /** Relative to the sender's ISN; 0 is the SYN, 1 the first octet. */
  readonly seq?: number;
  /** Relative to the receiver's ISN. */
  readonly ack?: number;
  readonly window?: number;
  readonly data?: string | number;
  /** DSCP and ECN bits of a packet from the peer, and the pointer that goes with URG. */
  readonly trafficClass?: number;
  readonly urgentPointer?: number;
  /** Of a segment from the peer; left out: the timestamps of its SYN, if it had any. */
  readonly options?: Partial<TcpOptions>;
}

export interface Sent {
  readonly flags: string;
  readonly seq: number;
  readonly ack: number;
  readonly window: number;
  readonly data: string;
  readonly options: TcpOptions;
  readonly packet: Uint8Array;
  readonly source: string;
  readonly destinationPort: number;
  readonly ttl: number;
  readonly trafficClass: number;
  readonly urgentPointer: number;
}

export interface TraceOptions {
  readonly family?: 4 | 6;
  readonly mtu?: number;
  readonly segmentEvents?: boolean;
  readonly profile?: Partial<Profile>;
  readonly connect?: Partial<ConnectOptions>;
  /** Options of the peer's SYN. */
  readonly peer?: Partial<TcpOptions>;
  /** Window of the peer's SYN. */
  readonly peerWindow?: number;
  readonly seed?: number;
}

export const LOCAL_PORT = 40_000;
export const PEER_PORT = 80;
/** Near the end of the number space, so that every trace crosses the wrap. */
const IRS = 0xffff_fff0 as Seq;

export class Trace {
  readonly stack: TcpStack;
  readonly options: TraceOptions;
  readonly engine: IpAddress;
  peer: IpAddress;
  readonly events: StackEvent[] = [];
  enginePort = LOCAL_PORT;
  peerPort = PEER_PORT;
  id = 0 as ConnectionId;
  iss = 0 as Seq;
  nowUs = 0;
  /** Bytes of every packet the engine sent, last one last. */
  last: Uint8Array | undefined;

  constructor(options: TraceOptions = {}) {
    this.options = options;
    const ends = options.family === 6 ? V6 : V4;
    this.engine = ends.a;
    this.peer = ends.b;
    const random = new SeededRandom(options.seed ?? 1);
    this.stack = createStack({
      addresses: [V4.a, V6.a],
      mtu: options.mtu ?? 1500,
      random: (length) => random.bytes(length),
      profile: { ...FINWAIT_PROFILE, ...options.profile },
      segmentEvents: options.segmentEvents ?? true,
    });
  }

  get info(): TcpInfo | undefined {
    return this.stack.info(this.id);
  }

  get state(): StateName {
    return this.info?.state ?? 'CLOSED';
  }

  get ended(): EndReason | undefined {
    const event = this.all('ended').find(({ id }) => id === this.id);
    return event?.reason;
  }

  /** All events of a kind so far. */
  all<K extends StackEvent['kind']>(kind: K): Extract<StackEvent, { kind: K }>[] {
    this.events.push(...this.stack.events());
    return this.events.filter((event) => event.kind === kind) as Extract<StackEvent, { kind: K }>[];
  }

  connect(): this {
    const opened = this.stack.connect(
      {
        remote: { address: this.peer, port: this.peerPort },
        local: { port: this.enginePort },
        ...this.options.connect,
      },
      this.nowUs,
    );
    assert.ok(opened.ok, 'connect');
    if (opened.ok) this.id = opened.value;
    return this;
  }

  /** What the user calls; fails when the engine refuses. */
  send(data: string | number): this {
    const sent = granted(this.stack.send(this.id, text(data), this.nowUs));
    assert.is(sent, text(data).length, 'all of it is queued');
    return this;
  }

  read(max = Number.MAX_SAFE_INTEGER): { readonly data: string; readonly eof: boolean } {
    const { data, eof } = granted(this.stack.receive(this.id, max, this.nowUs));
    return { data: Buffer.from(data).toString('latin1'), eof };
  }

  shutdown(): this {
    granted(this.stack.shutdown(this.id, this.nowUs));
    return this;
  }

  close(): this {
    granted(this.stack.close(this.id, this.nowUs));
    return this;
  }

  abort(): this {
    granted(this.stack.abort(this.id, this.nowUs));
    return this;
  }

  /** A segment comes from the peer. */
  receives(flags: Flags, fields: Fields = {}): this {
    this.stack.input(this.fromPeer(flags, fields), this.nowUs);
    return this;
  }

  /** The packet of a segment from the peer. */
  fromPeer(
    flags: Flags,
    { seq = 1, ack = 1, window = 65_535, data = '', ...fields }: Fields = {},
  ): Uint8Array {
    const names = flags.split(' ');
    const { timestamps } = this.options.peer ?? {};
    const options = { ...NO_OPTIONS, ...(fields.options ?? { timestamps }) };
    const bytes = new Uint8Array(44);
    const layout = options.sack === undefined ? FINWAIT_PROFILE.synLayout : FINWAIT_PROFILE.layout;
    const length = encodeTcpOptions(bytes, 0, options, layout);
    return tcpPacket({
      source: this.peer,
      destination: this.engine,
      sourcePort: this.peerPort,
      destinationPort: this.enginePort,
      seq: seqAdd(IRS, seq),
      ack: names.includes('ACK') ? seqAdd(this.iss, ack) : 0,
      flags: flagBits(names),
      window,
      options: bytes.subarray(0, length),
      data: text(data),
      ...(fields.trafficClass === undefined ? {} : { trafficClass: fields.trafficClass }),
      ...(fields.urgentPointer === undefined ? {} : { urgentPointer: fields.urgentPointer }),
    });
  }

  /** An ICMP error about `about`, by default the last packet the engine sent. */
  receivesIcmp(type: number, code: number, { mtu = 0, about = this.last } = {}): this {
    assert.ok(about, 'something was sent');
    if (about) this.stack.input(encodeIcmpError(about, this.peer.bytes, type, code, mtu), this.nowUs);
    return this;
  }

  /** The next packet of the engine, now, has these flags and fields. */
  sends(flags: Flags, fields: Fields = {}): Sent {
    const sent = this.next();
    if (sent === undefined)
      throw new Error(`expected ${flags} at ${this.nowUs / 1000} ms, the engine is silent`);
    const wanted: Record<string, unknown> = { flags: sorted(flags) };
    const got: Record<string, unknown> = { flags: sorted(sent.flags) };
    for (const name of ['seq', 'ack', 'window'] as const) {
      if (fields[name] === undefined) continue;
      wanted[name] = fields[name];
      got[name] = sent[name];
    }
    if (fields.data !== undefined) {
      const asLength = typeof fields.data === 'number';
      wanted.data = fields.data;
      got.data = asLength ? sent.data.length : sent.data;
    }
    for (const [name, value] of Object.entries(fields.options ?? {})) {
      wanted[name] = value;
      got[name] = sent.options[name as keyof TcpOptions];
    }
    assert.equal(got, wanted);
    return sent;
  }

  /** It is silent up to then, and sends at that time. */
  sendsAt(ms: number, flags: Flags, fields: Fields = {}): Sent {
    this.silentUntil(ms - 0.001);
    this.passTo(ms);
    return this.sends(flags, fields);
  }

  /** It has nothing to send now. */
  silent(): this {
    const sent = this.next();
    if (sent !== undefined) {
      throw new Error(
        `expected silence at ${this.nowUs / 1000} ms, not ${sent.flags} seq ${sent.seq} ack ${sent.ack}`,
      );
    }
    return this;
  }

  /** It sends nothing up to and at that time. */
  silentUntil(ms: number): this {
    const untilUs = Math.round(ms * 1000);
    this.silent();
    for (let due = this.stack.nextDeadlineUs(); due <= untilUs; due = this.stack.nextDeadlineUs()) {
      this.nowUs = Math.max(due, this.nowUs);
      this.stack.advance(this.nowUs);
      this.silent();
    }
    this.nowUs = untilUs;
    return this;
  }

  /** Time passes without a look at what is sent. */
  passTo(ms: number): this {
    assert.ok(Number.isFinite(ms), 'a time that comes');
    this.nowUs = Math.round(ms * 1000);
    this.stack.advance(this.nowUs);
    return this;
  }

  /** Takes the next packet, whatever it is. */
  next(): Sent | undefined {
    const packet = this.stack.next(this.nowUs);
    if (packet === undefined) return undefined;
    this.last = packet;
    const ip = decodeIp(packet);
    assert.ok(ip.ok, 'a whole IP packet');
    if (!ip.ok) return undefined;
    const { payload: start, end, ttl, trafficClass, source } = ip.value;
    const header = decodeTcpHeader(packet, start, end);
    assert.ok(header.ok, 'a whole TCP header');
    const addresses = 2 * this.engine.bytes.length;
    const pseudo = pseudoHeaderSum(packet, source, addresses, PROTOCOL_TCP, end - start);
    assert.is(checksumFinish(checksumAdd(pseudo, packet, start, end)), 0, 'MUST-2: the checksum is right');
    if (!header.ok) return undefined;
    const { flags, seq, ack, window, options, payload, destinationPort, urgentPointer } = header.value;
    const names = flagNames(flags);
    if (names.includes('SYN')) this.iss = seq;
    return {
      flags: names.join(' '),
      seq: seqDiff(seq, this.iss),
      ack: names.includes('ACK') ? seqDiff(ack, IRS) : 0,
      window,
      data: Buffer.from(packet.subarray(payload, end)).toString('latin1'),
      options: decodeTcpOptions(packet, options, payload),
      packet,
      source: packet.subarray(source, source + this.engine.bytes.length).join('.'),
      destinationPort,
      ttl,
      trafficClass,
      urgentPointer,
    };
  }
}

/** What a number of octets looks like when their value does not matter. */
function text(data: string | number): Uint8Array {
  return Buffer.from(typeof data === 'number' ? 'x'.repeat(data) : data, 'latin1');
}

function sorted(flags: Flags): string {
  return flags.split(' ').toSorted().join(' ');
}

function flagBits(names: readonly string[]): number {
  const bits: Record<string, number> = {
    FIN: 1,
    SYN: 2,
    RST: 4,
    PSH: 8,
    ACK: 16,
    URG: 32,
    ECE: 64,
    CWR: 128,
  };
  return names.reduce((sum, name) => sum | (bits[name] ?? 0), 0);
}

function granted<T>(result: EngineResult<T>): T {
  if (!result.ok) throw new Error(`the engine refused: ${result.reason}`);
  return result.value;
}

// The states, each made from the one before.

export function synSent(options: TraceOptions = {}): Trace {
  const t = new Trace(options).connect();
  t.sends('SYN', { seq: 0 });
  assert.is(t.state, 'SYN-SENT');
  return t;
}

/** Through an active open, at 0 ms; the peer has an MSS of 1000 and no other option unless told. */
export function established(options: TraceOptions = {}): Trace {
  const t = synSent(options);
  t.receives('SYN ACK', {
    seq: 0,
    ack: 1,
    window: options.peerWindow ?? 65_535,
    options: { mss: 1000, ...options.peer },
  });
  t.sends('ACK', { seq: 1, ack: 1, data: '' });
  assert.is(t.state, 'ESTABLISHED');
  return t;
}

/** A listener at port 80 of the engine, and a peer at port 40000. */
export function listening(options: TraceOptions = {}): Trace {
  const t = new Trace(options);
  t.enginePort = PEER_PORT;
  t.peerPort = LOCAL_PORT;
  const listened = t.stack.listen({ port: t.enginePort }, 8);
  assert.ok(listened.ok);
  if (listened.ok) t.id = listened.value;
  return t;
}

export function synReceived(options: TraceOptions = {}): Trace {
  const t = listening(options);
  t.receives('SYN', {
    seq: 0,
    window: options.peerWindow ?? 65_535,
    options: { mss: 1000, ...options.peer },
  });
  t.sends('SYN ACK', { seq: 0, ack: 1 });
  t.id = t.all('state').at(-1)?.id ?? t.id;
  assert.is(t.state, 'SYN-RECEIVED');
  return t;
}

export function finWait1(options: TraceOptions = {}): Trace {
  const t = established(options).shutdown();
  t.sends('FIN ACK', { seq: 1, ack: 1 });
  assert.is(t.state, 'FIN-WAIT-1');
  return t;
}

export function finWait2(options: TraceOptions = {}): Trace {
  const t = finWait1(options).receives('ACK', { seq: 1, ack: 2 });
  assert.is(t.state, 'FIN-WAIT-2');
  return t.silent();
}

export function closeWait(options: TraceOptions = {}): Trace {
  const t = established(options).receives('FIN ACK', { seq: 1, ack: 1 });
  t.sends('ACK', { seq: 1, ack: 2 });
  assert.is(t.state, 'CLOSE-WAIT');
  return t;
}

export function closing(options: TraceOptions = {}): Trace {
  const t = finWait1(options).receives('FIN ACK', { seq: 1, ack: 1 });
  t.sends('ACK', { seq: 2, ack: 2 });
  assert.is(t.state, 'CLOSING');
  return t;
}

export function lastAck(options: TraceOptions = {}): Trace {
  const t = closeWait(options).shutdown();
  t.sends('FIN ACK', { seq: 1, ack: 2 });
  assert.is(t.state, 'LAST-ACK');
  return t;
}

export function timeWait(options: TraceOptions = {}): Trace {
  const t = finWait2(options).receives('FIN ACK', { seq: 1, ack: 2 });
  t.sends('ACK', { seq: 2, ack: 2 });
  assert.is(t.state, 'TIME-WAIT');
  return t;
}

/** A trace in each state that has a connection. */
export const STATES = {
  'SYN-SENT': synSent,
  'SYN-RECEIVED': synReceived,
  ESTABLISHED: established,
  'FIN-WAIT-1': finWait1,
  'FIN-WAIT-2': finWait2,
  'CLOSE-WAIT': closeWait,
  CLOSING: closing,
  'LAST-ACK': lastAck,
  'TIME-WAIT': timeWait,
} as const satisfies Partial<Record<StateName, (options?: TraceOptions) => Trace>>;
