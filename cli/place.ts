/** Network namespaces as a person names them, and what is done in one of them. */

import { readlinkSync, statfsSync, statSync } from 'node:fs';
import type { Condition } from '#base/errors.ts';
import { FinwaitError } from '#base/errors.ts';
import type { Decoded } from '#base/result.ts';
import { decoded, undecodable } from '#base/result.ts';
import { text } from '#base/settings.ts';
import { EACCES, ENOENT, EPERM } from '../daemon/kernel/libc.ts';
import { NetlinkError } from '../daemon/kernel/netlink-socket.ts';
import { insideNamespace } from '../daemon/kernel/network-namespace.ts';
import { NamespaceFinder } from '../daemon/track/namespace-finder.ts';
import { isPod, readPodNames } from './pod-names.ts';
import { namesIn } from './quiet-read.ts';

const NAMED = '/run/netns';
/** linux/magic.h */
const NSFS_MAGIC = 0x6e736673;

/** A network namespace. */
export interface Place {
  readonly inode: number;
  /** Leads into it. */
  readonly path: string;
}

/** For commands that look into one namespace at a time. */
export const PLACE_SETTINGS = {
  netns: {
    name: 'netns',
    placeholder: 'NAME|PATH|PID',
    doc: 'in this network namespace: its name in /run/netns, a path to it, or that of a process (as root)',
    default: undefined,
    parse: placeOf,
  },
  pod: {
    name: 'pod',
    placeholder: 'POD',
    doc: 'in the network namespace of this pod: the beginning of its UID, or NAMESPACE/NAME (as root)',
    default: undefined,
    parse: text,
  },
} as const;

/**
 * The namespace that `--netns` or `--pod` names; undefined where neither was given.
 * @throws FinwaitError USAGE, NAMESPACE_NOT_FOUND
 */
export function chosenPlace({
  netns,
  pod,
}: {
  readonly netns: Place | undefined;
  readonly pod: string | undefined;
}): Place | undefined {
  if (pod === undefined) return netns;
  if (netns !== undefined) throw usage('--netns and --pod exclude each other');
  return placeOfPod(pod);
}

/** A name in /run/netns, a path, a process, or the inode itself, as 4026531840 or net:[4026531840]. */
export function placeOf(name: string): Decoded<Place> {
  if (/^\d+$/.test(name)) return ofProcess(name) ?? ofInode(Number(name));
  const inode = /^net:\[(\d+)\]$/.exec(name)?.[1];
  if (inode !== undefined) return ofInode(Number(inode));
  const path = name.includes('/') ? name : `${NAMED}/${name}`;
  const found = inodeAt(path);
  if (found === 'denied') return undecodable('leads to what may not be seen: run finwait as root');
  if (found !== undefined) return decoded({ inode: found, path });
  return undecodable(`is no network namespace: ${name.includes('/') ? 'none is there' : `not in ${NAMED}`}`);
}

/**
 * Does something in the namespace; nothing in it may wait.
 * @throws FinwaitError NAMESPACES_DENIED, NAMESPACE_NOT_FOUND
 */
export function inside<T>(place: Place | undefined, use: () => T): T {
  if (place === undefined || place.inode === ownNamespace()) return use();
  try {
    return insideNamespace(place.path, place.inode, use);
  } catch (error) {
    if (!(error instanceof NetlinkError)) throw error;
    if (error.errno === EPERM || error.errno === EACCES) throw namespacesDenied(error);
    if (error.errno === ENOENT) throw notFound('the network namespace is gone');
    throw error;
  }
}

/** Inode of the one that the thread is in. */
export function ownNamespace(): number {
  return statSync('/proc/thread-self/ns/net').ino;
}

export function namespacesDenied(cause?: Error): FinwaitError {
  return new FinwaitError(
    'NAMESPACES_DENIED',
    'the other network namespaces of this machine may not be entered',
    'run finwait as root (CAP_SYS_ADMIN, and CAP_SYS_PTRACE to find them), or leave --all-namespaces, --netns, --pod and --by pod, container or namespace away',
    cause,
  );
}

export function notFound(problem: string): FinwaitError {
  return new FinwaitError(
    'NAMESPACE_NOT_FOUND',
    problem,
    'finwait sockets --by namespace -s all lists those that programs are in, ip netns those that have a name',
  );
}

function placeOfPod(filter: string): Place {
  const names = readPodNames();
  const found = [...new NamespaceFinder().find(performance.now()).values()].filter(
    ({ pod }) => pod !== undefined && isPod(pod, names.get(pod.uid), filter),
  );
  const [only, another] = found;
  if (only === undefined) {
    const { code, message, hint } = podUnknown(filter);
    throw new FinwaitError(code, message, hint);
  }
  if (another !== undefined) throw usage(`--pod ${filter} is the beginning of ${found.length} pods`);
  return only;
}

/** What is wrong where `--pod` names no pod whose namespace is known. */
export function podUnknown(filter: string): Condition {
  return {
    code: 'NAMESPACE_NOT_FOUND',
    message: `no network namespace is known to be that of a pod ${JSON.stringify(filter)}`,
    hint: 'finwait sockets --by pod -s all (as root) lists pods; one of the host network has no namespace of its own: leave --pod away',
  };
}

function usage(problem: string): FinwaitError {
  return new FinwaitError('USAGE', problem, 'run the command with --help to see what it takes');
}

/** Undefined when there is no such process. */
function ofProcess(pid: string): Decoded<Place> | undefined {
  const path = `/proc/${pid}/ns/net`;
  try {
    return decoded({ inode: Number(/\[(\d+)\]/.exec(readlinkSync(path))?.[1]), path });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EACCES') return undefined;
    return undecodable('is a process whose network namespace may not be seen: run finwait as root');
  }
}

function ofInode(inode: number): Decoded<Place> {
  const paths = [
    ...namesIn(NAMED).map((name) => `${NAMED}/${name}`),
    ...namesIn('/proc').flatMap((name) => (/^\d+$/.test(name) ? [`/proc/${name}/ns/net`] : [])),
  ];
  const path = paths.find((each) => inodeAt(each) === inode);
  return path === undefined
    ? undecodable('is neither a process nor the inode of a network namespace that can be found')
    : decoded({ inode, path });
}

/** Undefined where no namespace is: a name whose namespace is gone stays as an empty file. */
function inodeAt(path: string): number | 'denied' | undefined {
  try {
    return statfsSync(path).type === NSFS_MAGIC ? statSync(path).ino : undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EACCES' ? 'denied' : undefined;
  }
}
