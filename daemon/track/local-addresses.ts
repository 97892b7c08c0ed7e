/** The addresses of this network namespace, by which a flow with an end here is told from one that passes through. */

import { FinwaitError } from '#base/errors.ts';
import { NetlinkError } from '../kernel/netlink-socket.ts';
import { Routing } from '../kernel/routing.ts';
import { readU32 } from '../wire/bytes.ts';

/**
 * Those of all links: the kernel takes packets for them also where the link is down (as that of IPVS is) or has no carrier.
 * Asked by the 4 or 16 bytes of an address.
 * @throws FinwaitError NETLINK_FAILED
 */
export function localAddresses(): (address: Uint8Array) => boolean {
  const all = addresses();
  const v4 = new Set(all.filter(({ length }) => length === 4).map(wordOf));
  const v6 = new Set(all.filter(({ length }) => length === 16).map(latin1));
  return (address) =>
    address.length === 4 ? address[0] === 127 || v4.has(wordOf(address)) : v6.has(latin1(address));
}

function addresses(): Uint8Array[] {
  try {
    using routing = new Routing();
    return routing.addresses();
  } catch (error) {
    if (!(error instanceof NetlinkError)) throw error;
    throw new FinwaitError(
      'NETLINK_FAILED',
      'the addresses of this network namespace could not be read',
      'they are read again with the next sweep; report it if it persists',
      error,
    );
  }
}

function wordOf(bytes: Uint8Array): number {
  return readU32(bytes, 0);
}

function latin1(bytes: Uint8Array): string {
  return Buffer.prototype.latin1Slice.call(bytes);
}
