/** What `finwait ports` takes. */

import type { Settings } from '#base/settings.ts';
import { integer } from '#base/settings.ts';
import { addressFilter, listOf, switchOf, TABLE_SETTINGS } from './table.ts';

const { ipv4: _v4, ipv6: _v6, ...table } = TABLE_SETTINGS;

export const PORTS_SETTINGS = {
  nat: switchOf('nat', undefined, 'of the addresses that source NAT (masquerade) puts in place of others'),
  address: listOf('address', 'ADDRESS', 'only from or to this address or prefix', addressFilter, 'a'),
  port: listOf('port', 'PORT', 'only towards this port', integer(0, 65_535)),
  ...table,
} as const;

export type PortsSettings = Settings<typeof PORTS_SETTINGS>;
