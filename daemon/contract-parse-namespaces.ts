/** The shapes of what a report tells of network namespaces. */

import { boolean, integerIn, list, map, numberIn, object, optional, text } from '#base/shape.ts';
import type { CounterReading, NamespaceFacts, NamespaceSettings, PortRange, TcpMemory } from '#contract';
import { NAMESPACE_LIMITS, TCP_COUNTERS } from '#contract';

/** A UUID, or for a static pod the hash that the kubelet makes of its manifest. */
export const podUid = text(64, /^[0-9a-f-]+$/i, 'is not the UID of a pod');

const count = integerIn(0, 0xffff_ffff);
const whole = integerIn(0, Number.MAX_SAFE_INTEGER);
/** What tells a network namespace of a machine from others. */
export const netnsInode = whole;
const port = integerIn(0, 65_535);
const portRange = object<PortRange>({ from: port, to: port });

const reading = object<CounterReading>({
  total: whole,
  perSecond: optional(numberIn(0, Number.MAX_SAFE_INTEGER)),
});
/** Of another version of the agent there may be some that this one does not know. */
const counters = map(reading, 2 * TCP_COUNTERS.length, 64);

const settings = object<NamespaceSettings>({
  portRange: optional(portRange),
  reservedPorts: optional(list(portRange, NAMESPACE_LIMITS.portRanges)),
  twReuse: optional(whole),
  twReuseDelayMs: optional(whole),
  finTimeoutS: optional(whole),
  maxTwBuckets: optional(whole),
  maxOrphans: optional(whole),
  somaxconn: optional(whole),
  maxSynBacklog: optional(whole),
  synCookies: optional(whole),
  abortOnOverflow: optional(whole),
  synRetries: optional(whole),
  timestamps: optional(whole),
  memoryPages: optional(object({ low: whole, pressure: whole, high: whole })),
  conntrackTimeoutsS: optional(map(whole, 16, 32)),
});

const namespace = object<NamespaceFacts>({
  inode: whole,
  own: boolean,
  pod: optional(podUid),
  inUse: count,
  timeWait: count,
  counters,
  settings: optional(settings),
});

export const NAMESPACE_SHAPES = {
  namespaces: optional(list(namespace, NAMESPACE_LIMITS.namespaces)),
  namespacesFolded: optional(count),
  counters: optional(counters),
  memory: optional(object<TcpMemory>({ pages: whole, orphans: count, allocated: count })),
};
