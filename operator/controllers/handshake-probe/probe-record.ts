/** HandshakeProbes, Services and EndpointSlices as slim records. */

import type { ProbeLimits } from '#contract';
import { DEFAULT_PROBE_LIMITS } from '#contract';
import { durationOf } from '../../api/v1alpha1/duration.ts';
import type {
  ExpectedVerdict,
  HandshakeProbeSpec,
  HandshakeProbeStatus,
  HandshakeTarget,
} from '../../api/v1alpha1/handshake-probe.ts';
import { DEFAULT_INTERVAL } from '../../api/v1alpha1/handshake-probe.ts';
import type { KubeObject } from '../../kube/client.ts';

export interface ProbeRecord {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly resourceVersion: string;
  readonly generation: number;
  readonly targets: readonly HandshakeTarget[];
  readonly nodes: NonNullable<HandshakeProbeSpec['nodes']>;
  readonly once: boolean;
  readonly suspend: boolean;
  readonly intervalMs: number;
  readonly limits: ProbeLimits;
  readonly send: string | undefined;
  readonly expected: ExpectedVerdict;
  readonly handshakeWithinUs: number | undefined;
  readonly status: HandshakeProbeStatus | undefined;
}

export interface ServiceRecord {
  readonly type: string;
  /** `None` of a headless Service; empty until it has one. */
  readonly clusterIp: string;
  readonly externalName: string;
  readonly ports: readonly NamedPort[];
}

export interface NamedPort {
  readonly name: string;
  readonly port: number;
}

/** The ready endpoints of a Service for TCP. */
export interface EndpointsRecord {
  /** `namespace/name` */
  readonly service: string;
  readonly ports: readonly NamedPort[];
  readonly addresses: readonly string[];
}

export function probeRecord({ metadata, spec, status }: KubeObject): ProbeRecord {
  const given = (spec ?? {}) as Partial<HandshakeProbeSpec>;
  const { limits = {}, expect = {} } = given;
  const within = durationOf(expect.handshakeWithin ?? '');
  return {
    namespace: metadata?.namespace ?? '',
    name: metadata?.name ?? '',
    uid: metadata?.uid ?? '',
    resourceVersion: metadata?.resourceVersion ?? '',
    generation: metadata?.generation ?? 0,
    targets: given.targets ?? [],
    nodes: given.nodes ?? {},
    once: given.once === true,
    suspend: given.suspend === true,
    intervalMs: durationOf(given.interval ?? DEFAULT_INTERVAL) ?? 30_000,
    limits: {
      connectMs: durationOf(limits.handshake ?? '') ?? DEFAULT_PROBE_LIMITS.connectMs,
      exchangeMs: durationOf(limits.exchange ?? '') ?? DEFAULT_PROBE_LIMITS.exchangeMs,
      closeMs: durationOf(limits.close ?? '') ?? DEFAULT_PROBE_LIMITS.closeMs,
    },
    send: given.send,
    expected: expect.verdict ?? 'Open',
    handshakeWithinUs: within === undefined ? undefined : within * 1000,
    status: status as HandshakeProbeStatus | undefined,
  };
}

export function serviceRecord({ spec }: KubeObject): ServiceRecord {
  const {
    type = 'ClusterIP',
    clusterIP = '',
    externalName = '',
    ports,
  } = (spec ?? {}) as Record<string, string>;
  return { type, clusterIp: clusterIP, externalName, ports: tcpPorts(ports) };
}

export function endpointsRecord({ metadata, ports, endpoints }: KubeObject): EndpointsRecord {
  const owner = metadata?.labels?.['kubernetes.io/service-name'] ?? '';
  const list = (Array.isArray(endpoints) ? endpoints : []) as readonly {
    readonly addresses?: readonly string[];
    readonly conditions?: { readonly ready?: boolean };
  }[];
  return {
    service: `${metadata?.namespace ?? ''}/${owner}`,
    ports: tcpPorts(ports),
    addresses: list
      .filter(({ conditions }) => conditions?.ready !== false)
      .flatMap(({ addresses = [] }) => addresses.slice(0, 1)),
  };
}

function tcpPorts(ports: unknown): NamedPort[] {
  const list = (Array.isArray(ports) ? ports : []) as readonly {
    readonly name?: string;
    readonly port?: number;
    readonly protocol?: string;
  }[];
  return list.flatMap(({ name = '', port, protocol = 'TCP' }) =>
    port === undefined || protocol !== 'TCP' ? [] : [{ name, port }],
  );
}
