/** Reading of /proc, where processes come and go, and some may not be seen. */

import { readlinkSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** PROC_PID_INIT_INO, linux/proc_ns.h */
const INITIAL_PID_NAMESPACE = `pid:[${0xeffffffc}]`;

/** Whether this is the PID namespace of the machine, so that all its processes are seen. */
export function seesWholeMachine(procRoot: string): boolean {
  const namespace = unlessGone(() => readlinkSync(join(procRoot, 'self/ns/pid')));
  return namespace === undefined || namespace === INITIAL_PID_NAMESPACE;
}

/** Whether processes of others are not even shown (hidepid=2, proc(5)): the first one is always there. */
export function hidesProcesses(procRoot: string): boolean {
  return unlessGone(() => statSync(join(procRoot, '1'))) === undefined;
}

/** ENXIO: the network namespace of a process is going away. ENODEV: a control group is. */
const GONE: ReadonlySet<string> = new Set(['ENOENT', 'ESRCH', 'ENXIO', 'ENODEV']);

/** What `read` gives, or undefined when the process or descriptor has gone or may not be seen. */
export function unlessGone<T>(read: () => T, onDenied: () => void = () => {}): T | undefined {
  try {
    return read();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EACCES' || code === 'EPERM') onDenied();
    else if (code === undefined || !GONE.has(code)) throw error;
    return undefined;
  }
}
