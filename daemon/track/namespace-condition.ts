/** Why the sockets of some network namespaces are not known, and what to do about it. */

import type { Condition } from '#base/errors.ts';
import { EACCES, EMFILE, EPERM } from '../kernel/libc.ts';
import type { NetlinkError } from '../kernel/netlink-socket.ts';
import { hintToSee } from './hidden.ts';
import type { NamespaceFinder } from './namespace-finder.ts';
import { hidesProcesses, seesWholeMachine } from './proc.ts';

/**
 * @param refusal why one could not be read
 * @param known how many are known
 */
export function namespacesCondition(
  finder: Pick<NamespaceFinder, 'alone' | 'denied' | 'mountsDenied' | 'full' | 'procRoot'>,
  refusal: NetlinkError | undefined,
  known: number,
): Condition | undefined {
  const message =
    'the sockets of some network namespaces, such as those of pods, cannot be read and are in no figure';
  const code = 'NAMESPACES_PARTIAL';
  const denied = refusal?.errno === EPERM || refusal?.errno === EACCES;
  if (refusal !== undefined && !denied)
    return { code, message: `${message}: ${refusal.message}`, hint: hintFor(refusal.errno) };
  if (denied)
    return {
      code,
      message: `${message}: they may not be entered`,
      hint: hintToSee(['SYS_ADMIN', 'SYS_PTRACE']),
    };
  if (finder.denied)
    return {
      code,
      message: `${message}: the namespaces of some processes may not be seen`,
      hint: hintToSee(['SYS_PTRACE']),
    };
  if (hidesProcesses(finder.procRoot))
    return {
      code,
      message: `${message}: /proc does not show the processes of others (it is mounted with hidepid)`,
      hint: hintToSee(['SYS_PTRACE']),
    };
  if (finder.mountsDenied)
    return {
      code,
      message: `${message}: the mounts of namespaces that no process is in may not be looked at`,
      hint: hintToSee(['SYS_PTRACE']),
    };
  if (finder.full)
    return {
      code,
      message: `${message}: there are more than ${known}, which is the most that are looked into`,
      hint: 'nothing to be done here: the sockets of the others are not counted',
    };
  if (finder.alone && !seesWholeMachine(finder.procRoot))
    return {
      code,
      message: `${message}: finwait sees only the processes of its own container`,
      hint: 'run finwait in the PID namespace of the machine (chart: agent.hostPID; in a pod: hostPID: true)',
    };
  return undefined;
}

function hintFor(errno: number): string {
  return errno === EMFILE
    ? 'raise the limit of open files (LimitNOFILE= of the container runtime, ulimit -n)'
    : 'they are read again with the next sweep; report it if it persists';
}
