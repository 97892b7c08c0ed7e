/** What `finwait ports` takes. */

import type { Settings } from '#base/settings.ts';
import { integer, oneOf, text } from '#base/settings.ts';
import { placeOf } from './place.ts';
import { addressFilter, listOf, switchOf, TABLE_SETTINGS } from './table.ts';
import { WATCH_SETTINGS } from './watch.ts';

const PORT_SORT_KEYS = ['used', 'ports', 'source', 'destination', 'time-wait', 'bound', 'pod'] as const;
export type PortSortKey = (typeof PORT_SORT_KEYS)[number];

const { ipv4: _v4, ipv6: _v6, ...table } = TABLE_SETTINGS;

export const PORTS_SETTINGS = {
  nat: switchOf('nat', undefined, 'of the addresses that source NAT (masquerade) puts in place of others'),
  address: listOf('address', 'ADDRESS', 'only from or to this address or prefix', addressFilter, 'a'),
  port: listOf('port', 'PORT', 'only towards this port', integer(0, 65_535)),
  minUsed: {
    name: 'min-used',
    placeholder: 'PERCENT',
    doc: 'only where at least so much of the usable ports is in use',
    default: 0,
    parse: integer(0, 100),
  },
  netns: listOf(
    'netns',
    'NAME|PATH|PID',
    'in these network namespaces: a name in /run/netns, a path, that of a process, or the number in NETNS (as root)',
    placeOf,
  ),
  pod: listOf(
    'pod',
    'POD',
    'in the network namespaces of pods whose UID, NAME or NAMESPACE/NAME begins so; none: of no pod (as root)',
    text,
  ),
  allNamespaces: switchOf(
    'all-namespaces',
    'A',
    'in all network namespaces of this machine, such as those of pods (as root)',
  ),
  sort: {
    name: 'sort',
    placeholder: 'KEY',
    doc: `${PORT_SORT_KEYS.join(', ')}; numbers largest first`,
    default: 'used',
    parse: oneOf(...PORT_SORT_KEYS),
  },
  ...WATCH_SETTINGS,
  ...table,
} as const;

export type PortsSettings = Settings<typeof PORTS_SETTINGS>;
