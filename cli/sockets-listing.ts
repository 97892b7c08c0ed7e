/** Which of the sockets read are shown, found out with no more work than that takes. */

import { isPod } from './pod-names.ts';
import { someProcess } from './process-names.ts';
import type { SocketsRead } from './sockets-reader.ts';
import type { SocketRow } from './sockets-rows.ts';
import { ANYBODYS, isProcess, selectSockets, sortSockets } from './sockets-rows.ts';
import type { SocketGrouping, SocketRowKey, SocketSortKey, SocketsSettings } from './sockets-settings.ts';

export interface Listing {
  /** All that pass the filters. */
  readonly selected: readonly SocketRow[];
  /** The first of them in the order that is wanted. */
  readonly shown: readonly SocketRow[];
  /** Whether a process that is not known has one of the sockets that the answer depends on. */
  readonly hidden: boolean;
  /** Filters that name nobody who is known. */
  readonly notes: readonly string[];
}

/**
 * Whose sockets are is looked for among those that pass the other filters where the answer depends on it, else of those
 * that are shown; it takes longer than all the rest.
 */
export function listSockets(read: SocketsRead, settings: SocketsSettings): Listing {
  const { by, reverse, limit } = settings;
  const key = rowKey(settings.sort);
  const first = (rows: readonly SocketRow[]) => sortSockets(rows, key, reverse).slice(0, limit);
  if (dependsOnOwners(settings)) {
    const candidates = ownedOf(read, settings);
    const selected = selectSockets(candidates, settings);
    const notes = unknownNames(read, settings, candidates);
    return { selected, shown: by === undefined ? first(selected) : [], hidden: hasHidden(candidates), notes };
  }
  if (by === undefined && limit === Number.POSITIVE_INFINITY) {
    const selected = ownedOf(read, settings);
    return { selected, shown: first(selected), hidden: hasHidden(selected), notes: [] };
  }
  const selected = selectSockets(read.rows(), settings);
  const shown = by === undefined ? read.owned(first(selected)) : [];
  return { selected, shown, hidden: hasHidden(shown), notes: [] };
}

export function rowKey(sort: SocketSortKey | undefined): SocketRowKey | undefined {
  // These two are refused without --by.
  return sort === 'count' || sort === 'change' ? undefined : sort;
}

const OWNERLESS: ReadonlySet<SocketGrouping> = new Set(['destination', 'port', 'state']);

function dependsOnOwners({ watch, process, pod, own, notOwn, by, sort }: SocketsSettings): boolean {
  return (
    // From reading to reading it is remembered whose a socket was before it went to TIME-WAIT.
    watch ||
    process.length + pod.length > 0 ||
    own !== notOwn ||
    sort === 'process' ||
    sort === 'pod' ||
    (by !== undefined && !OWNERLESS.has(by))
  );
}

/** With their owners, those that pass the filters which do not ask for these. */
function ownedOf(read: SocketsRead, settings: SocketsSettings): SocketRow[] {
  const anybodys = { ...settings, ...ANYBODYS };
  if (settings.watch || !asksForEnds(settings)) return selectSockets(read.owned(), anybodys);
  return read.owned(selectSockets(read.rows(), anybodys));
}

/** Whether more is asked for than states. */
function asksForEnds(settings: SocketsSettings): boolean {
  const { address, local, peer, port, localPort, peerPort, minAge, ipv4, ipv6 } = settings;
  const lists = [address, local, peer, port, localPort, peerPort];
  return minAge > 0 || ipv4 !== ipv6 || lists.some(({ length }) => length > 0);
}

function hasHidden(rows: readonly SocketRow[]): boolean {
  return rows.some(({ process, inode }) => process === null && inode !== 0);
}

function unknownNames(
  { namespaces, podNames }: SocketsRead,
  { pod: pods, process: processes }: SocketsSettings,
  candidates: readonly SocketRow[],
): string[] {
  const isKnownPod = (filter: string) =>
    filter === 'none' ||
    candidates.some(({ pod, podName }) => isPod(pod, podName, filter)) ||
    namespaces.some(({ pod = null }) => isPod(pod, pod && podNames.get(pod.uid), filter)) ||
    [...podNames].some(([uid, name]) => isPod({ uid }, name, filter));
  const isKnownProcess = (filter: string) =>
    filter === 'unknown' ||
    candidates.some(({ process }) => isProcess(process, filter)) ||
    someProcess((process) => isProcess(process, filter));
  return [
    ...pods.flatMap((filter) =>
      isKnownPod(filter)
        ? []
        : [`no pod is known whose name, UID or container id begins with ${JSON.stringify(filter)}`],
    ),
    ...processes.flatMap((filter) =>
      isKnownProcess(filter)
        ? []
        : [`no process is seen whose name contains, or whose id is ${JSON.stringify(filter)}`],
    ),
  ];
}
