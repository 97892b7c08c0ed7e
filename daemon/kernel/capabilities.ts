/** The capabilities this thread has in effect. linux/capability.h */

import { readFileSync } from 'node:fs';

const CAPABILITY_BITS = {
  DAC_READ_SEARCH: 2,
  NET_ADMIN: 12,
  SYS_PTRACE: 19,
  SYS_ADMIN: 21,
} as const;

export type Capability = keyof typeof CAPABILITY_BITS;

/** Whether the thread has the capability. It may be so in a user namespace that does not own the network. */
export function hasCapability(name: Capability): boolean {
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/thread-self/status', 'utf8'))?.[1];
  return effective !== undefined && ((BigInt(`0x${effective}`) >> BigInt(CAPABILITY_BITS[name])) & 1n) === 1n;
}
