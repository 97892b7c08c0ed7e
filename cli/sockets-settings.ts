/** What `finwait sockets` takes. */

import type { Decoded } from '#base/result.ts';
import { decoded, undecodable } from '#base/result.ts';
import type { Settings } from '#base/settings.ts';
import { durationMs, integer, oneOf, text } from '#base/settings.ts';
import type { TcpStateName } from '#contract';
import { TCP_STATES } from '#contract';
import { placeOf } from './place.ts';
import { addressFilter, listOf, switchOf, TABLE_SETTINGS } from './table.ts';
import { WATCH_SETTINGS } from './watch.ts';

/** Of what only the details of a socket tell. */
export const SOCKET_DETAIL_KEYS = [
  'rtt',
  'retransmits',
  'last-recv',
  'last-sent',
  'congestion',
  'rto',
  'mss',
  'cwnd',
  'unacked',
  'rate',
  'memory',
  'drops',
] as const;

const SOCKET_SORT_KEYS = [
  'state',
  'age',
  'process',
  'peer',
  'local',
  'recv-q',
  'send-q',
  'pod',
  'netns',
  'timer',
  ...SOCKET_DETAIL_KEYS,
  'shutdown',
  'uid',
  'inode',
  'count',
  'change',
] as const;
export type SocketSortKey = (typeof SOCKET_SORT_KEYS)[number];
/** What single sockets have. */
export type SocketRowKey = Exclude<SocketSortKey, 'count' | 'change'>;

const SOCKET_GROUPINGS = [
  'process',
  'destination',
  'port',
  'state',
  'pod',
  'container',
  'namespace',
] as const;
export type SocketGrouping = (typeof SOCKET_GROUPINGS)[number];

const AGE_LIMIT_MS = 365 * 86_400_000;
const port = integer(0, 65_535);

export const SOCKETS_SETTINGS = {
  state: listOf(
    'state',
    'STATES',
    'only these, in RFC, ss or kernel spelling; also all, connected, synchronized (default: all but listeners)',
    socketStates,
    's',
  ),
  exclude: listOf('exclude', 'STATES', 'all but these', socketStates),
  listening: switchOf('listening', 'l', 'only listeners, with their accept queue and backlog'),
  process: listOf(
    'process',
    'NAME|PID',
    'only of processes whose name contains NAME, or of this PID',
    text,
    'p',
  ),
  pod: listOf(
    'pod',
    'POD',
    'only of pods whose UID, container id, NAME or NAMESPACE/NAME begins so; none: of no pod (reads all namespaces)',
    text,
  ),
  netns: listOf(
    'netns',
    'NAME|PATH|PID',
    'in these network namespaces: a name in /run/netns, a path, that of a process, or the number in NETNS (as root)',
    placeOf,
  ),
  allNamespaces: switchOf(
    'all-namespaces',
    'A',
    'of all network namespaces of this machine, such as those of pods (as root)',
  ),
  counters: switchOf(
    'counters',
    'c',
    "the kernel's TCP counters of each namespace instead; rates with --watch",
  ),
  events: switchOf(
    'events',
    'E',
    'a line for each connection that ends, from now until Ctrl-C; with --json one object a line',
  ),
  address: listOf('address', 'ADDRESS', 'only with this address or prefix at either end', addressFilter, 'a'),
  local: listOf('local', 'ADDRESS', 'only with this local address or prefix', addressFilter),
  peer: listOf('peer', 'ADDRESS', 'only with this address or prefix at the other end', addressFilter),
  port: listOf('port', 'PORT', 'only with this port at either end', port),
  localPort: listOf('local-port', 'PORT', 'only with this local port', port),
  peerPort: listOf('peer-port', 'PORT', 'only with this port at the other end', port),
  minAge: {
    name: 'min-age',
    placeholder: 'DURATION',
    doc: 'only those known to be in their state at least so long',
    default: 0,
    defaultText: '',
    parse: durationMs(0, AGE_LIMIT_MS),
  },
  own: switchOf('own', undefined, "only finwait's own: its programs, and the other end of its probes"),
  notOwn: switchOf('not-own', undefined, "all but finwait's own"),
  by: {
    name: 'by',
    placeholder: SOCKET_GROUPINGS.join('|'),
    doc: 'count in groups instead of listing',
    default: undefined,
    parse: oneOf(...SOCKET_GROUPINGS),
  },
  sort: {
    name: 'sort',
    placeholder: 'KEY',
    doc: `${SOCKET_SORT_KEYS.join(', ')}; ages and amounts largest first`,
    default: undefined,
    parse: oneOf(...SOCKET_SORT_KEYS),
  },
  ...WATCH_SETTINGS,
  ...TABLE_SETTINGS,
} as const;

export type SocketsSettings = Settings<typeof SOCKETS_SETTINGS>;

const STATE_ALIASES: Readonly<Record<string, readonly TcpStateName[]>> = {
  ...Object.fromEntries(TCP_STATES.map((state) => [letters(state), [state]])),
  estab: ['ESTABLISHED'],
  synrecv: ['SYN-RECEIVED'],
  synrcvd: ['SYN-RECEIVED'],
  newsynrecv: ['SYN-RECEIVED'],
  listening: ['LISTEN'],
  close: ['CLOSED'],
  unconnected: ['CLOSED'],
  all: TCP_STATES,
  connected: TCP_STATES.filter((state) => state !== 'LISTEN' && state !== 'CLOSED'),
  synchronized: TCP_STATES.filter((state) => !['LISTEN', 'CLOSED', 'SYN-SENT'].includes(state)),
  bucket: ['SYN-RECEIVED', 'TIME-WAIT'],
};

/** States by any of their names: `TIME-WAIT`, `time-wait`, `TIME_WAIT`, `timewait`. */
function socketStates(word: string): Decoded<readonly TcpStateName[]> {
  const key = letters(word);
  const states = Object.hasOwn(STATE_ALIASES, key) ? STATE_ALIASES[key] : undefined;
  if (states !== undefined) return decoded(states);
  return undecodable(`is not a TCP state: ${TCP_STATES.join(', ')}, all, connected, synchronized`);
}

function letters(word: string): string {
  return word.toLowerCase().replaceAll(/[-_ ]/g, '');
}
