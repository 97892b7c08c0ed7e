/** What `finwait conntrack` takes. */

import type { Decoded } from '#base/result.ts';
import { decoded, undecodable } from '#base/result.ts';
import type { Settings } from '#base/settings.ts';
import { durationMs, integer, oneOf, text } from '#base/settings.ts';
import type { ConntrackTcpState } from '../daemon/netlink/ctnetlink.ts';
import { CONNTRACK_TCP_STATES } from '../daemon/netlink/ctnetlink.ts';
import { PLACE_SETTINGS } from './place.ts';
import { addressFilter, listOf, switchOf, TABLE_SETTINGS } from './table.ts';
import { WATCH_SETTINGS } from './watch.ts';

const FLOW_SORT_KEYS = [
  'state',
  'left',
  'idle',
  'age',
  'source',
  'destination',
  'nat',
  'mark',
  'zone',
  'packets',
  'bytes',
  'process',
  'pod',
  'count',
  'change',
] as const;
export type FlowSortKey = (typeof FLOW_SORT_KEYS)[number];
/** What single flows have. */
export type FlowRowKey = Exclude<FlowSortKey, 'count' | 'change'>;

const FLOW_GROUPINGS = ['state', 'source', 'destination', 'zone', 'process', 'pod'] as const;
export type FlowGrouping = (typeof FLOW_GROUPINGS)[number];

const FLOW_EVENT_KINDS = ['begun', 'changed', 'ended'] as const;
export type FlowEventKind = (typeof FLOW_EVENT_KINDS)[number];

const port = integer(0, 65_535);

export const CONNTRACK_SETTINGS = {
  state: listOf('state', 'STATES', `only these: ${CONNTRACK_TCP_STATES.join(', ')}`, flowStates, 's'),
  address: listOf(
    'address',
    'ADDRESS',
    'only with this address or prefix at any end, before or after NAT',
    addressFilter,
    'a',
  ),
  port: listOf('port', 'PORT', 'only with this port at any end, before or after NAT', port),
  source: listOf('source', 'ADDRESS', 'only from this address or prefix, before or after NAT', addressFilter),
  sourcePort: listOf('source-port', 'PORT', 'only from this port', port),
  destination: listOf(
    'destination',
    'ADDRESS',
    'only to this address or prefix, before or after NAT',
    addressFilter,
    'd',
  ),
  destinationPort: listOf('destination-port', 'PORT', 'only to this port', port),
  process: listOf(
    'process',
    'NAME|PID',
    'only flows with a socket, at either end, of processes whose name contains NAME, or of this PID',
    text,
  ),
  pod: listOf(
    'pod',
    'POD',
    'only flows of pods whose UID, container id, NAME or NAMESPACE/NAME begins so, at either end; none: of no pod',
    text,
  ),
  owners: switchOf('owners', undefined, 'show the process and pod at each end that is on this machine'),
  mark: listOf('mark', 'MARK', 'only with this mark, decimal or 0x...', mark),
  zone: listOf('zone', 'ZONE', 'only of this zone of conntrack', integer(0, 65_535)),
  netns: PLACE_SETTINGS.netns,
  nat: switchOf('nat', undefined, 'only flows that NAT changes'),
  unreplied: switchOf(
    'unreplied',
    undefined,
    "only flows that nobody answered, without finwait's own unless --own is given",
  ),
  assured: switchOf('assured', undefined, 'only flows that the kernel keeps when the table is full'),
  own: switchOf('own', undefined, "only those of finwait's own probes, known by their mark"),
  notOwn: switchOf('not-own', undefined, "all but finwait's own"),
  minAge: {
    name: 'min-age',
    placeholder: 'DURATION',
    doc: 'only flows that began so long ago, or whose last packet did where the kernel keeps no time stamps',
    default: undefined,
    parse: durationMs(1, 365 * 86_400_000),
  },
  events: switchOf(
    'events',
    'E',
    'a line for each flow that begins, changes or ends, from now until Ctrl-C; with --json one object a line',
  ),
  only: listOf(
    'only',
    'EVENTS',
    `with --events: only these, ${FLOW_EVENT_KINDS.join(', ')}`,
    oneOf(...FLOW_EVENT_KINDS),
  ),
  stats: switchOf('stats', 'S', 'what the processors count of conntrack instead; rates with --watch'),
  by: {
    name: 'by',
    placeholder: FLOW_GROUPINGS.join('|'),
    doc: 'count in groups instead of listing',
    default: undefined,
    parse: oneOf(...FLOW_GROUPINGS),
  },
  sort: {
    name: 'sort',
    placeholder: 'KEY',
    doc: `${FLOW_SORT_KEYS.join(', ')}; idle, age, packets, bytes and count largest first`,
    default: undefined,
    parse: oneOf(...FLOW_SORT_KEYS),
  },
  ...WATCH_SETTINGS,
  ...TABLE_SETTINGS,
} as const;

export type ConntrackSettings = Settings<typeof CONNTRACK_SETTINGS>;

/** What a socket's state or another tool's spelling is called here. */
const STATE_ALIASES: Readonly<Record<string, readonly ConntrackTcpState[]>> = {
  ...Object.fromEntries(CONNTRACK_TCP_STATES.map((state) => [letters(state), [state]])),
  estab: ['ESTABLISHED'],
  synreceived: ['SYN_RECV'],
  finwait1: ['FIN_WAIT'],
  closed: ['CLOSE'],
  all: CONNTRACK_TCP_STATES,
};

function flowStates(word: string): Decoded<readonly ConntrackTcpState[]> {
  const key = letters(word);
  const states = Object.hasOwn(STATE_ALIASES, key) ? STATE_ALIASES[key] : undefined;
  if (states !== undefined) return decoded(states);
  return undecodable(`is not a TCP state of conntrack: ${CONNTRACK_TCP_STATES.join(', ')}, all`);
}

function letters(word: string): string {
  return word.toLowerCase().replaceAll(/[-_ ]/g, '');
}

function mark(word: string): Decoded<number> {
  const value = /^(\d{1,10}|0x[0-9a-f]{1,8})$/i.test(word) ? Number(word) : Number.NaN;
  return value <= 0xffffffff ? decoded(value) : undecodable('is not a mark such as 7 or 0x2a');
}
