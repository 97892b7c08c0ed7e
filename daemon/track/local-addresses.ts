/** The addresses of this network namespace, by which a flow with an end here is told from one that passes through. */

import { networkInterfaces } from 'node:os';
import { parseIpAddress } from '../wire/address.ts';

/** Those of the links that are up now. Asked by the 4 or 16 bytes of an address. */
export function localAddresses(): (address: Uint8Array) => boolean {
  const found = new Set<string>();
  for (const addresses of Object.values(networkInterfaces())) {
    for (const { address } of addresses ?? []) {
      const parsed = parseIpAddress(address);
      if (parsed.ok) found.add(latin1(parsed.value.bytes));
    }
  }
  return (address) => (address.length === 4 && address[0] === 127) || found.has(latin1(address));
}

function latin1(bytes: Uint8Array): string {
  return Buffer.prototype.latin1Slice.call(bytes);
}
