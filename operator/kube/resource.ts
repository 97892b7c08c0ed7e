/** The kinds of objects the operator deals with, and where they are in the API. */

export interface Resource {
  /** Empty for the core group. */
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly kind: string;
  readonly namespaced: boolean;
}

function resource(
  group: string,
  version: string,
  plural: string,
  kind: string,
  namespaced: boolean,
): Resource {
  return { group, version, plural, kind, namespaced };
}

export const PODS = resource('', 'v1', 'pods', 'Pod', true);
export const NODES = resource('', 'v1', 'nodes', 'Node', false);
export const NAMESPACES = resource('', 'v1', 'namespaces', 'Namespace', false);
export const SERVICES = resource('', 'v1', 'services', 'Service', true);
export const SECRETS = resource('', 'v1', 'secrets', 'Secret', true);
export const CONFIG_MAPS = resource('', 'v1', 'configmaps', 'ConfigMap', true);
export const ENDPOINT_SLICES = resource('discovery.k8s.io', 'v1', 'endpointslices', 'EndpointSlice', true);
export const REPLICA_SETS = resource('apps', 'v1', 'replicasets', 'ReplicaSet', true);
export const JOBS = resource('batch', 'v1', 'jobs', 'Job', true);
export const LEASES = resource('coordination.k8s.io', 'v1', 'leases', 'Lease', true);
export const EVENTS = resource('events.k8s.io', 'v1', 'events', 'Event', true);
export const TOKEN_REVIEWS = resource('authentication.k8s.io', 'v1', 'tokenreviews', 'TokenReview', false);

const FINWAIT = 'finwait.io';
export const HANDSHAKE_PROBES = resource(FINWAIT, 'v1alpha1', 'handshakeprobes', 'HandshakeProbe', true);
export const TCP_REPORTS = resource(FINWAIT, 'v1alpha1', 'tcpreports', 'TCPReport', true);
export const NODE_TCP_REPORTS = resource(FINWAIT, 'v1alpha1', 'nodetcpreports', 'NodeTCPReport', false);
export const DIAGNOSIS_POLICIES = resource(
  FINWAIT,
  'v1alpha1',
  'diagnosispolicies',
  'DiagnosisPolicy',
  false,
);

/** `apiVersion` as objects of the kind have it. */
export function apiVersionOf({ group, version }: Resource): string {
  return group === '' ? version : `${group}/${version}`;
}

/**
 * The path of a collection, or of an object in it.
 * @param namespace undefined for a cluster-wide kind, or for all namespaces of a collection
 */
export function pathOf(resource: Resource, namespace?: string, name?: string, subresource?: string): string {
  const { group, version, plural } = resource;
  const root = group === '' ? `/api/${version}` : `/apis/${group}/${version}`;
  const scope = namespace === undefined ? '' : `/namespaces/${encodeURIComponent(namespace)}`;
  const object = name === undefined ? '' : `/${encodeURIComponent(name)}`;
  return `${root}${scope}/${plural}${object}${subresource === undefined ? '' : `/${subresource}`}`;
}
