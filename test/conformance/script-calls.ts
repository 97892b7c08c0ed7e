/** The socket calls of scripts: `write 4 1000 more` as an operation of the adapter, and its answer as a word. */

import type { IpAddress } from '../../daemon/wire/address.ts';
import { errnoName } from './errno-numbers.ts';
import { OP, type Reply } from './frames.ts';
import { int32s, optionPlace } from './option-codec.ts';
import { AF_INET, AF_INET6, encodeSockaddr } from './sockaddr.ts';

/** Whose addresses and ports a call means when it names none. */
export interface CallContext {
  readonly engine: IpAddress;
  readonly peer: IpAddress;
  readonly enginePort: number;
  readonly peerPort: number;
}

export interface Operation {
  readonly op: number;
  readonly args: readonly number[];
  readonly blob: Uint8Array;
  /** The answer of a call that succeeded, when it is more than its result. */
  readonly read?: (reply: Reply) => string;
}

type Maker = (words: readonly string[], context: CallContext) => Operation;

const NOTHING = new Uint8Array(0);
const O_NONBLOCK = 0x800;
const F_SETFL = 4;
const BACKLOG = 8;
const HOW = ['rd', 'wr', 'rdwr'];
const FLAGS: Readonly<Record<string, number>> = { oob: 0x1, dontwait: 0x40, more: 0x8000 };
const IOCTL: Readonly<Record<string, number>> = { SIOCINQ: 0x541b, SIOCOUTQ: 0x5411, SIOCATMARK: 0x8905 };
const EVENTS: Readonly<Record<string, number>> = {
  in: 0x1,
  pri: 0x2,
  out: 0x4,
  err: 0x8,
  hup: 0x10,
  nval: 0x20,
  rdhup: 0x2000,
};
/** Fields of TCP_INFO that scripts look at: offset and bytes. */
const INFO: Readonly<Record<string, readonly [number, 1 | 4]>> = {
  state: [0, 1],
  'ca-state': [1, 1],
  'snd-mss': [16, 4],
  unacked: [24, 4],
  sacked: [28, 4],
  rto: [8, 4],
  pmtu: [60, 4],
  rtt: [68, 4],
  'snd-ssthresh': [76, 4],
  'snd-cwnd': [80, 4],
  'total-retrans': [100, 4],
  'snd-wnd': [228, 4],
};

const MAKERS: Readonly<Record<string, Maker>> = {
  socket: ([fd, type], { engine }) =>
    plain(OP.socket, [
      int(fd),
      engine.family === 4 ? AF_INET : AF_INET6,
      type === undefined ? 1 : int(type),
      0,
    ]),
  bind: ([fd, port], { engine, enginePort }) => ({
    ...plain(OP.bind, [int(fd)]),
    blob: encodeSockaddr(
      { address: engine, port: port === undefined ? enginePort : int(port) },
      engine.family,
    ),
  }),
  listen: ([fd, backlog]) => plain(OP.listen, [int(fd), backlog === undefined ? BACKLOG : int(backlog)]),
  accept: ([fd, newFd]) => plain(OP.accept, [int(fd), int(newFd)]),
  connect: ([fd], { peer, peerPort }) => ({
    ...plain(OP.connect, [int(fd)]),
    blob: encodeSockaddr({ address: peer, port: peerPort }, peer.family),
  }),
  read: ([fd, max]) => plain(OP.read, [int(fd), int(max)]),
  write: ([fd, length, ...flags]) => ({
    ...plain(OP.write, [int(fd), int(length), flags.reduce((bits, flag) => bits | named(FLAGS, flag), 0)]),
    blob: new Uint8Array(int(length)),
  }),
  close: ([fd]) => plain(OP.close, [int(fd)]),
  shutdown: ([fd, how]) => plain(OP.shutdown, [int(fd), HOW.indexOf(how ?? '')]),
  blocking: ([fd]) => plain(OP.fcntl, [int(fd), F_SETFL, 0]),
  nonblocking: ([fd]) => plain(OP.fcntl, [int(fd), F_SETFL, O_NONBLOCK]),
  getsockopt: ([fd, name]) => ({
    ...plain(OP.getsockopt, [int(fd), ...place(name), 64]),
    read: ({ blob }) => optionText(name, blob),
  }),
  setsockopt: ([fd, name, ...values]) => ({
    ...plain(OP.setsockopt, [int(fd), ...place(name)]),
    blob: name === 'TCP_CONGESTION' ? Buffer.from(values.join(' ')) : int32s(...values.map(int)),
  }),
  info: ([fd, field]) => ({
    ...plain(OP.getsockopt, [int(fd), 6, 11, 280]),
    read: ({ blob }) => {
      const [offset, bytes] = named(INFO, field);
      const view = new DataView(blob.buffer, blob.byteOffset, blob.byteLength);
      return String(bytes === 1 ? view.getUint8(offset) : view.getUint32(offset, true));
    },
  }),
  ioctl: ([fd, request]) => ({
    ...plain(OP.ioctl, [int(fd), named(IOCTL, request)]),
    read: ({ blob }) => String(new DataView(blob.buffer, blob.byteOffset).getInt32(0, true)),
  }),
  poll: ([fd, events]) => {
    const asked = (events ?? '').split(',').reduce((bits, name) => bits | named(EVENTS, name), 0);
    const blob = new Uint8Array(8);
    const view = new DataView(blob.buffer);
    view.setInt32(0, int(fd), true);
    view.setUint16(4, asked, true);
    return { op: OP.poll, args: [1, 0], blob, read: readPoll };
  },
};

/** Undefined when it is no call. @throws Error for a call that means nothing */
export function operationOf(
  verb: string,
  words: readonly string[],
  context: CallContext,
): Operation | undefined {
  return MAKERS[verb]?.(words, context);
}

/** What a reply says, as scripts write it. */
export function replyText(operation: Operation, reply: Reply): string {
  if (reply.errno !== 0) return errnoName(reply.errno);
  return operation.read?.(reply) ?? String(reply.result);
}

function plain(op: number, args: readonly number[]): Operation {
  return { op, args, blob: NOTHING };
}

function int(word: string | undefined): number {
  if (word === undefined || !/^-?\d+$/.test(word)) throw new Error(`${word} is no number`);
  return Number(word);
}

function named<T>(table: Readonly<Record<string, T>>, name: string | undefined): T {
  const value = table[name ?? ''];
  if (value === undefined) throw new Error(`${name} is none of ${Object.keys(table).join(', ')}`);
  return value;
}

function place(name: string | undefined): [level: number, number: number] {
  const found = optionPlace(name ?? '');
  if (found === undefined) throw new Error(`there is no option ${name}`);
  return [found.level, found.number];
}

function optionText(name: string | undefined, blob: Uint8Array): string {
  if (name === 'TCP_CONGESTION') return Buffer.from(blob).toString('latin1').replace(/\0.*$/s, '');
  const view = new DataView(blob.buffer, blob.byteOffset, blob.byteLength);
  const values = Array.from({ length: blob.length / 4 }, (_, at) => view.getInt32(4 * at, true));
  if (name === 'SO_ERROR') return values[0] === 0 ? '0' : errnoName(values[0] ?? 0);
  return values.join(' ');
}

function readPoll({ blob }: Reply): string {
  const found = new DataView(blob.buffer, blob.byteOffset).getUint16(6, true);
  const names = Object.entries(EVENTS).filter(([, bit]) => (found & bit) !== 0);
  return names.length === 0 ? '0' : names.map(([name]) => name).join(',');
}
