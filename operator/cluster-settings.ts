/** The operator's settings in Kubernetes. */

import { hostname } from 'node:os';
import type { AddressRange } from '#base/address-policy.ts';
import { addressRange } from '#base/address-policy.ts';
import type { Decoded } from '#base/result.ts';
import { decoded, undecodable } from '#base/result.ts';
import { each, flag, oneOf, setting, text } from '#base/settings.ts';

export const CLUSTER_SETTINGS = {
  kubernetes: setting<boolean>({
    name: 'kubernetes',
    env: 'FINWAIT_KUBERNETES',
    kind: 'flag',
    doc: 'run in a cluster: agents are known by the tokens of their ServiceAccount, replicas choose a leader, and custom resources are served',
    default: false,
    parse: flag,
  }),
  kubeconfig: setting<string>({
    name: 'kubeconfig',
    env: 'FINWAIT_KUBECONFIG',
    placeholder: 'FILE',
    doc: "how to reach the API server; without it, by the pod's own ServiceAccount",
    default: '',
    parse: text,
  }),
  namespace: setting<string>({
    name: 'namespace',
    env: 'FINWAIT_NAMESPACE',
    placeholder: 'NAME',
    doc: 'the namespace of Lease, Secret and ConfigMap',
    default: '',
    defaultText: "the pod's or the kubeconfig's",
    parse: objectName,
  }),
  podName: setting<string>({
    name: 'pod-name',
    env: 'FINWAIT_POD_NAME',
    placeholder: 'NAME',
    doc: 'by what name this replica holds the Lease',
    default: hostname(),
    defaultText: 'the host name',
    parse: objectName,
  }),
  advertiseAddress: setting<string>({
    name: 'advertise-address',
    env: 'FINWAIT_ADVERTISE_ADDRESS',
    placeholder: 'ADDRESS',
    doc: "where agents reach this replica when it leads: the pod's address; the port is that of --ingest-listen",
    default: '',
    defaultText: 'the address of --ingest-listen',
    parse: text,
  }),
  leaseName: setting<string>({
    name: 'lease-name',
    env: 'FINWAIT_LEASE_NAME',
    placeholder: 'NAME',
    doc: 'the Lease that the leader holds',
    default: 'finwait-operator',
    parse: objectName,
  }),
  agentServiceAccount: setting<ServiceAccount>({
    name: 'agent-service-account',
    env: 'FINWAIT_AGENT_SERVICE_ACCOUNT',
    placeholder: 'NAMESPACE/NAME',
    doc: 'whose tokens are taken for those of agents',
    default: { namespace: '', name: 'finwait-agent' },
    defaultText: 'finwait-agent in --namespace',
    parse: serviceAccount,
  }),
  tokenAudience: setting<string>({
    name: 'token-audience',
    env: 'FINWAIT_TOKEN_AUDIENCE',
    placeholder: 'AUDIENCE',
    doc: "the audience that agents' tokens must be for",
    default: '',
    defaultText: 'finwait.NAMESPACE',
    parse: text,
  }),
  tlsMode: setting<'dir' | 'secret' | 'files'>({
    name: 'tls-mode',
    env: 'FINWAIT_TLS_MODE',
    placeholder: 'MODE',
    doc: 'where CA and server certificate are from: dir, made and kept in --tls-dir; secret, made and kept in --tls-secret and --tls-config-map; files, tls.crt and tls.key of --tls-dir, which others renew',
    default: 'dir',
    parse: oneOf('dir', 'secret', 'files'),
  }),
  tlsSecret: setting<string>({
    name: 'tls-secret',
    env: 'FINWAIT_TLS_SECRET',
    placeholder: 'NAME',
    doc: 'for --tls-mode secret: the Secret, there already, that keeps the CA and the server certificate',
    default: 'finwait-tls',
    parse: objectName,
  }),
  tlsConfigMap: setting<string>({
    name: 'tls-config-map',
    env: 'FINWAIT_TLS_CONFIG_MAP',
    placeholder: 'NAME',
    doc: 'for --tls-mode secret: the ConfigMap, there already, that gets ca.crt, which agents mount',
    default: 'finwait-ca',
    parse: objectName,
  }),
  probeAllow: setting<readonly AddressRange[]>({
    name: 'probe-allow',
    env: 'FINWAIT_PROBE_ALLOW',
    placeholder: 'CIDR',
    kind: 'list',
    doc: 'what the agents have as --probe-allow, so that a HandshakeProbe of another address is told at once; in Kubernetes',
    default: [],
    parse: each(addressRange),
  }),
  probeDeny: setting<readonly AddressRange[]>({
    name: 'probe-deny',
    env: 'FINWAIT_PROBE_DENY',
    placeholder: 'CIDR',
    kind: 'list',
    doc: 'what the agents have as --probe-deny, so that a HandshakeProbe of such an address is told at once; in Kubernetes',
    default: [],
    parse: each(addressRange),
  }),
};

interface ServiceAccount {
  readonly namespace: string;
  readonly name: string;
}

const NAME = /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/;

/** A name of a Kubernetes object (RFC 1123 subdomain). */
function objectName(value: string): Decoded<string> {
  return NAME.test(value) ? decoded(value) : undecodable('is not a name of Kubernetes (a-z, 0-9, - and .)');
}

function serviceAccount(value: string): Decoded<ServiceAccount> {
  const [namespace = '', name = '', ...rest] = value.split('/');
  return rest.length === 0 && NAME.test(namespace) && NAME.test(name)
    ? decoded({ namespace, name })
    : undecodable('is not NAMESPACE/NAME');
}
