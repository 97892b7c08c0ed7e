/** `finwait sockets destroy`: aborts one socket, by both its ends and the kernel's number for it. */

import { cleanText } from '#base/clean-text.ts';
import type { Condition } from '#base/errors.ts';
import { FinwaitError } from '#base/errors.ts';
import { hostPortText } from '#base/host-port.ts';
import type { Decoded } from '#base/result.ts';
import { decoded, undecodable } from '#base/result.ts';
import { readSettings } from '#base/settings.ts';
import type { Endpoint, TcpStateName } from '#contract';
import { EACCES, EINVAL, ENOENT, EOPNOTSUPP, EPERM } from '../daemon/kernel/libc.ts';
import {
  NetlinkError,
  NetlinkSocket,
  netlinkFailed,
  noNetlinkFaults,
} from '../daemon/kernel/netlink-socket.ts';
import { encodeSocketDestroy, NETLINK_SOCK_DIAG, TIMER } from '../daemon/netlink/inet-diag.ts';
import { dumpSockets } from '../daemon/track/dumps.ts';
import { readEphemeralFrom } from '../daemon/track/kernel-numbers.ts';
import { ProcessTable } from '../daemon/track/processes.ts';
import type { TrackedSocket } from '../daemon/track/socket-table.ts';
import { SocketTable } from '../daemon/track/socket-table.ts';
import { parseIpAddress } from '../daemon/wire/address.ts';
import type { CommandHelp } from './help.ts';
import { asksForHelp, helpText } from './help.ts';
import type { CliIo } from './io.ts';
import { EXIT } from './io.ts';
import { chosenPlace, inside, PLACE_SETTINGS } from './place.ts';
import { processCell } from './sockets-view.ts';
import { printConditions, switchOf } from './table.ts';

const DESTROY_SETTINGS = {
  cookie: {
    name: 'cookie',
    placeholder: 'SK',
    doc: 'the number of the socket: the column SK of finwait sockets -o wide, sk: of ss -e',
    default: undefined,
    parse: cookieOf,
  },
  ...PLACE_SETTINGS,
  yes: switchOf('yes', undefined, 'do it; without it only what would be done is told'),
} as const;

const HELP: CommandHelp = {
  usage: 'finwait sockets destroy LOCAL PEER --cookie SK --yes',
  about: [
    'Aborts one TCP socket of this network namespace, or of that given: the kernel forgets it and, in ESTABLISHED,',
    'CLOSE-WAIT and FIN-WAIT, sends a RST to the peer. LOCAL and PEER are ADDRESS:PORT as finwait sockets shows them.',
    'The process that holds the socket keeps its descriptor and gets ECONNABORTED from it: a program that leaks sockets',
    'still leaks descriptors.',
  ].join('\n'),
  settings: DESTROY_SETTINGS,
  examples: [
    ['finwait sockets -s close-wait -o wide', 'the column SK is the cookie'],
    ['finwait sockets destroy 10.0.0.1:8080 10.0.0.9:50000 --cookie 1a2b --yes', 'that one and no other'],
  ],
  notes: ['It needs root (CAP_NET_ADMIN) and a kernel with CONFIG_INET_DIAG_DESTROY.'],
};

export async function runDestroy(args: readonly string[], io: CliIo): Promise<number> {
  if (asksForHelp(args)) {
    io.stdout.write(helpText(HELP));
    return EXIT.ok;
  }
  const { settings, positionals } = readSettings(DESTROY_SETTINGS, args, io.env);
  const [localText = '', peerText = ''] = positionals;
  const local = positionals.length > 0 ? endpointOf(localText) : undefined;
  const peer = positionals.length > 1 ? endpointOf(peerText, local) : undefined;
  if (local === undefined || peer === undefined || positionals.length > 2 || settings.cookie === undefined) {
    throw usage('it takes LOCAL, PEER and --cookie, so that no other socket is hit');
  }
  const { cookie } = settings;
  const place = chosenPlace(settings);
  const found = inside(place, () => findSocket(local, peer, cookie));
  const { socket, hidden } = found;
  const what = cleanText(`${socket.state} ${endText(local)} → ${endText(peer)} ${whoseText(found)}`);
  const follows = cleanText(consequence(found));
  if (hidden !== undefined) printConditions(io, [hidden]);
  if (!settings.yes) {
    io.stdout.write(`would destroy ${what}\n${follows}\n`);
    throw usage('nothing was done: --yes is missing');
  }
  inside(place, () => destroy(socket));
  io.stdout.write(`destroyed ${what}\n${follows}\n`);
  return EXIT.ok;
}

interface Found {
  readonly socket: TrackedSocket;
  /** Why the process that holds it is not seen, where one may. */
  readonly hidden: Condition | undefined;
}

function whoseText({ socket, hidden }: Found): string {
  if (socket.process !== null) return `of ${processCell(socket).text}`;
  return hidden === undefined ? 'that no process holds' : 'of a process that may not be seen';
}

/** net/ipv4/tcp.c: tcp_abort() and tcp_need_reset() */
function consequence({ socket: { state, process, attribution, diag }, hidden }: Found): string {
  const holder =
    hidden !== undefined ? 'the process that holds it' : attribution === 'socket' ? process?.name : undefined;
  if (state === 'LISTEN') return `${holder ?? 'its program'} ${NO_LONGER_LISTENS}`;
  if (state === 'TIME-WAIT')
    return 'its port can be used again at once; late segments of it are answered with a RST';
  // What is left of a FIN-WAIT-2 that nobody holds is a smaller record, which sends nothing.
  const isRemnant = state === 'FIN-WAIT-2' && diag.timer === TIMER.timeWait;
  const peer = isRemnant || !RESET_STATES.has(state) ? PEER_LEARNS_LATER : PEER_LEARNS_NOW;
  if (holder === undefined) return peer;
  return `${peer}; ${holder} keeps the descriptor and gets ECONNABORTED: what leaks there goes on leaking`;
}

const NO_LONGER_LISTENS =
  'no longer accepts connections there until it listens anew, which most programs do only when they are started again; connections that wait to be accepted get a RST';
const PEER_LEARNS_NOW = 'the peer gets a RST, if it is still there';
const PEER_LEARNS_LATER =
  'nothing is sent to the peer; what it still sends on this connection is answered with a RST';
const RESET_STATES: ReadonlySet<TcpStateName> = new Set([
  'ESTABLISHED',
  'CLOSE-WAIT',
  'FIN-WAIT-1',
  'FIN-WAIT-2',
]);

/** @throws FinwaitError SOCKET_NOT_FOUND, and as `dumpSockets` */
function findSocket(local: Endpoint, peer: Endpoint, cookie: number): Found {
  const faults = noNetlinkFaults();
  const processes = new ProcessTable({ maxDescriptors: Number.POSITIVE_INFINITY });
  const table = new SocketTable({
    dump: (onSocket) => dumpSockets(onSocket, faults),
    processes,
    maxTracked: Number.POSITIVE_INFINITY,
    ephemeralFrom: readEphemeralFrom(),
  });
  table.sweep(performance.now());
  for (const socket of table.sockets()) {
    if (socket.diag.cookie === cookie && isSame(socket.local, local) && isSame(socket.peer, peer)) {
      const held = socket.diag.inode !== 0 && socket.process === null;
      return { socket, hidden: held ? processes.condition() : undefined };
    }
  }
  throw notFound();
}

/** @throws FinwaitError SOCKET_NOT_FOUND, SOCKET_DESTROY_DENIED, SOCKET_DESTROY_MISSING, NETLINK_FAILED */
function destroy({ diag, local, peer }: TrackedSocket): void {
  const [localBytes, remoteBytes] = [local, peer].map(({ address }) => bytesOf(address, diag.family));
  if (localBytes === undefined || remoteBytes === undefined)
    throw new Error('an address of the kernel is none');
  try {
    using netlink = NetlinkSocket.open(NETLINK_SOCK_DIAG);
    netlink.request(
      (seq) => encodeSocketDestroy(seq, { ...diag, local: localBytes, remote: remoteBytes }),
      'destroy the socket',
    );
  } catch (error) {
    if (!(error instanceof NetlinkError)) throw error;
    throw refusal(error);
  }
}

function refusal(error: NetlinkError): FinwaitError {
  if (error.errno === ENOENT) return notFound();
  if (error.errno === EPERM || error.errno === EACCES) {
    return new FinwaitError(
      'SOCKET_DESTROY_DENIED',
      'this socket may not be destroyed',
      'run finwait as root (CAP_NET_ADMIN)',
      error,
    );
  }
  if (error.errno === EOPNOTSUPP || error.errno === EINVAL) {
    return new FinwaitError(
      'SOCKET_DESTROY_MISSING',
      'this kernel cannot destroy such a socket',
      'it takes CONFIG_INET_DIAG_DESTROY; end the process that holds the socket instead',
      error,
    );
  }
  return netlinkFailed(error);
}

function notFound(): FinwaitError {
  return new FinwaitError(
    'SOCKET_NOT_FOUND',
    'no socket of this network namespace has these ends and this cookie',
    'it may be gone, or another may have taken its place: look with finwait sockets -s all -o wide',
  );
}

function usage(problem: string): FinwaitError {
  return new FinwaitError('USAGE', problem, 'finwait sockets destroy --help tells what it takes');
}

/** 4 bytes, or 16: an IPv6 socket may speak IPv4. */
function bytesOf(address: string, family: 4 | 6): Uint8Array | undefined {
  const parsed = parseIpAddress(address);
  if (!parsed.ok) return undefined;
  const { bytes } = parsed.value;
  if (family === 4 || bytes.length === 16) return bytes;
  return Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, ...bytes);
}

/**
 * An end as the tables show it: `10.0.0.1:80`, `10.0.0.1:80*`, `127.0.0.1%lo:80`, `[fe80::1%eth0]:80`, `*:80` (a listener
 * of both families) and `-` (its peer).
 * @param other the end before it
 */
function endpointOf(text: string, other?: Endpoint): Endpoint {
  if (text === '-' && other !== undefined)
    return { address: other.address.includes(':') ? '::' : '0.0.0.0', port: 0 };
  const [, shown = '', port = ''] = /^(.*):(\d{1,5})\*?$/.exec(text) ?? [];
  const host = shown.replace(/^\[(.*)\]$/, '$1').replace(/%.*$/, '');
  const address = parseIpAddress(host === '*' ? '::' : host);
  if (address.ok && Number(port) <= 65_535) return { address: address.value.text, port: Number(port) };
  throw usage(`${JSON.stringify(text)} is not ADDRESS:PORT`);
}

function isSame(a: Endpoint, b: Endpoint): boolean {
  return a.address === b.address && a.port === b.port;
}

function endText({ address, port }: Endpoint): string {
  return hostPortText(address, port);
}

function cookieOf(text: string): Decoded<number | undefined> {
  const [, digits] = /^(?:sk:)?(?:0x)?([0-9a-f]{1,13})$/i.exec(text) ?? [];
  return digits === undefined
    ? undecodable('is not a hexadecimal number')
    : decoded(Number.parseInt(digits, 16));
}
