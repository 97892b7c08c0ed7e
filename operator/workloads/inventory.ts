/**
 * What the API server knows of pods, their owners, nodes and namespaces, kept as slim records by reflectors.
 * One for all controllers of the operator, so that each kind is watched once.
 */

import type { Condition } from '#base/errors.ts';
import type { Logger } from '#base/log.ts';
import type { KubeClient } from '../kube/client.ts';
import type { Reflector } from '../kube/reflector.ts';
import { countersOf, createReflector, sizesOf } from '../kube/reflector.ts';
import { JOBS, NAMESPACES, NODES, PODS, REPLICA_SETS } from '../kube/resource.ts';
import type { OwnerRef, PodRecord, Workload } from './workload.ts';
import { controllerOf, podRecord, workloadOf } from './workload.ts';

export interface NodeRecord {
  readonly name: string;
  readonly uid: string;
  readonly labels: Readonly<Record<string, string>>;
}

export interface Inventory {
  readonly nodes: Reflector<NodeRecord>;
  /** Labels by name of the namespace. */
  readonly namespaces: Reflector<Readonly<Record<string, string>>>;
  /** @param uid as the API server or, for a static pod, the kubelet gave it */
  podOf(uid: string): PodRecord | undefined;
  workloadOf(pod: PodRecord): Workload;
  /** Settles when everything has been listed once. */
  readonly synced: Promise<void>;
  conditions(): Condition[];
  counters(): Readonly<Record<string, number>>;
  /** Objects held, by plural. */
  sizes(): Readonly<Record<string, number>>;
  start(): void;
  stop(): Promise<void>;
}

export function createInventory({ client, log }: { client: KubeClient; log: Logger }): Inventory {
  const pods = createReflector<PodRecord>({ client, resource: PODS, slim: podRecord, log });
  const nodes = createReflector<NodeRecord>({
    client,
    resource: NODES,
    metadataOnly: true,
    slim: nodeRecord,
    log,
  });
  const namespaces = createReflector({
    client,
    resource: NAMESPACES,
    metadataOnly: true,
    slim: labelsOf,
    log,
  });
  const owned = (resource: typeof JOBS) =>
    createReflector<OwnerRef | undefined>({ client, resource, metadataOnly: true, slim: controllerOf, log });
  const owners: Readonly<Record<string, Reflector<OwnerRef | undefined>>> = {
    ReplicaSet: owned(REPLICA_SETS),
    Job: owned(JOBS),
  };
  const all = [pods, nodes, namespaces, ...Object.values(owners)];

  const byUid = new Map<string, PodRecord>();
  const uidsOf = ({ uid, staticUid }: PodRecord): string[] =>
    staticUid === undefined ? [uid] : [uid, staticUid];
  pods.onChange((_key, now, before) => {
    for (const uid of before === undefined ? [] : uidsOf(before)) byUid.delete(uid);
    for (const uid of now === undefined ? [] : uidsOf(now)) if (now !== undefined) byUid.set(uid, now);
  });

  return {
    nodes,
    namespaces,
    podOf: (uid) => byUid.get(uid),
    workloadOf: (pod) =>
      workloadOf(pod, (kind, namespace, name) => owners[kind]?.get(`${namespace}/${name}`)),
    synced: Promise.all(all.map(({ synced }) => synced)).then(() => undefined),
    conditions: () => all.flatMap((reflector) => reflector.conditions()),
    counters: () => countersOf(all as readonly Reflector<unknown>[]),
    sizes: () => sizesOf(all as readonly Reflector<unknown>[]),
    start() {
      for (const reflector of all) reflector.start();
    },
    stop: async () => {
      await Promise.all(all.map((reflector) => reflector.stop()));
    },
  };
}

function nodeRecord(object: unknown): NodeRecord {
  const { metadata = {} } = object as { metadata?: { name?: string; uid?: string } };
  return { name: metadata.name ?? '', uid: metadata.uid ?? '', labels: labelsOf(object) };
}

function labelsOf(object: unknown): Readonly<Record<string, string>> {
  return (object as { metadata?: { labels?: Record<string, string> } }).metadata?.labels ?? {};
}
