/** Pods, and the workloads they belong to, as slim records. */

export interface OwnerRef {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
}

export interface PodRecord {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  /** Empty until the pod is scheduled. */
  readonly node: string;
  readonly owner?: OwnerRef;
  /** Container names by container id, without the scheme of the runtime. */
  readonly containers: readonly (readonly [id: string, name: string])[];
  /** For a static pod: the UID by which the kubelet knows it, which is not that of the API object. */
  readonly staticUid?: string;
}

/** The topmost controller of a pod, or the pod itself. */
export interface Workload extends OwnerRef {
  readonly namespace: string;
}

interface PodObject {
  readonly metadata?: {
    readonly uid?: string;
    readonly namespace?: string;
    readonly name?: string;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly ownerReferences?: readonly (OwnerRef & { readonly controller?: boolean })[];
  };
  readonly spec?: { readonly nodeName?: string };
  readonly status?: {
    readonly containerStatuses?: readonly ContainerStatus[];
    readonly initContainerStatuses?: readonly ContainerStatus[];
    readonly ephemeralContainerStatuses?: readonly ContainerStatus[];
  };
}

interface ContainerStatus {
  readonly name: string;
  readonly containerID?: string;
}

/** What is kept of a v1 Pod. */
export function podRecord(object: unknown): PodRecord {
  const { metadata = {}, spec, status = {} } = object as PodObject;
  const owner = controllerOf(object);
  const statuses = [
    ...(status.containerStatuses ?? []),
    ...(status.initContainerStatuses ?? []),
    ...(status.ephemeralContainerStatuses ?? []),
  ];
  const staticUid = metadata.annotations?.['kubernetes.io/config.mirror'];
  return {
    uid: metadata.uid ?? '',
    namespace: metadata.namespace ?? '',
    name: metadata.name ?? '',
    node: spec?.nodeName ?? '',
    ...(owner === undefined ? {} : { owner }),
    containers: statuses.flatMap(({ name, containerID }) =>
      containerID === undefined ? [] : [[containerID.replace(/^[a-z-]+:\/\//, ''), name] as const],
    ),
    ...(staticUid === undefined ? {} : { staticUid }),
  };
}

/** The owner that controls an object, from its metadata. */
export function controllerOf(object: unknown): OwnerRef | undefined {
  const owner = (object as PodObject).metadata?.ownerReferences?.find(
    ({ controller }) => controller === true,
  );
  if (owner === undefined || !isPossible(owner)) return undefined;
  const { apiVersion, kind, name, uid } = owner;
  return { apiVersion, kind, name, uid };
}

/** Who makes an object writes its owners as he likes: the API server does not look whether there can be such ones. */
function isPossible({ apiVersion, kind, name }: OwnerRef): boolean {
  return apiVersion.length <= 317 && /^[A-Za-z][-A-Za-z0-9]{0,62}$/.test(kind) && name.length <= 253;
}

/**
 * Follows controllers upwards: ReplicaSet to Deployment, Job to CronJob.
 * @param ownerOf the controller of a ReplicaSet or Job of a namespace, undefined when it has none or is not known
 */
export function workloadOf(
  pod: PodRecord,
  ownerOf: (kind: string, namespace: string, name: string) => OwnerRef | undefined,
): Workload {
  const { namespace, owner } = pod;
  // A static pod is owned by its Node, which is no workload.
  if (owner === undefined || owner.kind === 'Node') {
    return { apiVersion: 'v1', kind: 'Pod', namespace, name: pod.name, uid: pod.uid };
  }
  return { ...(ownerOf(owner.kind, namespace, owner.name) ?? owner), namespace };
}
