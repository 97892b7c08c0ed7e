/** The addresses of this network namespace, by which a flow with an end here is told from one that passes through. */

import { networkInterfaces } from 'node:os';
import { parseIpAddress } from '../wire/address.ts';

/** Those of the links that are up now. */
export function localAddresses(): (address: string) => boolean {
  const found = new Set<string>();
  for (const addresses of Object.values(networkInterfaces())) {
    for (const { address } of addresses ?? []) {
      const parsed = parseIpAddress(address);
      if (parsed.ok) found.add(parsed.value.text);
    }
  }
  return (address) => found.has(address) || address.startsWith('127.');
}
