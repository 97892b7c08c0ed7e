/** What to do about processes that may not be looked at. */

import { readlinkSync } from 'node:fs';
import type { Capability } from '../kernel/capabilities.ts';
import { hasCapability } from '../kernel/capabilities.ts';

const CHART_VALUES: Readonly<Partial<Record<Capability, string>>> = {
  SYS_ADMIN: 'sysAdmin',
  SYS_PTRACE: 'sysPtrace',
  DAC_READ_SEARCH: 'dacReadSearch',
};

/** PROC_USER_INIT_INO, linux/proc_ns.h */
const INITIAL_USER_NAMESPACE = 'user:[4026531837]';

function isInitialUserNamespace(): boolean {
  return readlinkSync('/proc/thread-self/ns/user') === INITIAL_USER_NAMESPACE;
}

/** A hint that names those of the capabilities which are missing; where none is, what else may keep finwait away. */
export function hintToSee(needed: readonly Capability[]): string {
  const missing = needed.filter((name) => !hasCapability(name));
  if (missing.length === 0 && !isInitialUserNamespace())
    return 'finwait has the capabilities only in a user namespace of its own (a rootless container): run it as root of the machine';
  if (missing.length === 0)
    return (
      'finwait has every capability for it, so a security module keeps it away (AppArmor: appArmorProfile Unconfined; ' +
      'SELinux: type spc_t), or the process is meant to hide: then there is nothing to do'
    );
  const names = missing.map((name) => `CAP_${name}`).join(' and ');
  const values = missing.map((name) => `agent.capabilities.${CHART_VALUES[name]}`).join(', ');
  return process.geteuid?.() === 0
    ? `give finwait ${names} (the chart in mode inspect: ${values})`
    : `run finwait as root, or give it ${names}`;
}
