/** Where a probe's targets are: addresses, names, Services and their endpoints become hosts and ports. Pure. */

import { isIP } from 'node:net';
import type { AddressPolicy } from '#base/address-policy.ts';
import { hostPortText } from '#base/host-port.ts';
import type { HandshakeTarget } from '../../api/v1alpha1/handshake-probe.ts';
import { HANDSHAKE_PROBE_LIMITS } from '../../api/v1alpha1/handshake-probe.ts';
import type { EndpointsRecord, NamedPort, ProbeRecord, ServiceRecord } from './probe-record.ts';

/** One place to probe. */
export interface Place {
  /** Name of the target in the probe. */
  readonly target: string;
  readonly host: string;
  readonly port: number;
}

/** Why there is no place for a target. */
export interface Fault {
  readonly reason: FaultReason;
  readonly message: string;
}

export type FaultReason =
  | 'ServiceNotFound'
  | 'PortNotFound'
  | 'NoClusterIP'
  | 'NoEndpoints'
  | 'TargetForbidden';

export interface Directory {
  serviceOf(key: string): ServiceRecord | undefined;
  endpointsOf(key: string): readonly EndpointsRecord[];
  readonly policy: AddressPolicy;
}

export interface Located {
  readonly places: readonly Place[];
  readonly faults: readonly Fault[];
}

/** @param namespace of the probe */
export function locate(
  targets: readonly HandshakeTarget[],
  namespace: string,
  directory: Directory,
): Located {
  const places: Place[] = [];
  const faults: Fault[] = [];
  for (const target of targets) {
    const found = placesOf(target, namespace, directory);
    if ('reason' in found) {
      faults.push(found);
      continue;
    }
    for (const { host, port } of found.slice(0, HANDSHAKE_PROBE_LIMITS.endpoints)) {
      const forbidden = isIP(host) === 0 ? undefined : directory.policy(host);
      if (forbidden === undefined) places.push({ target: target.name, host, port });
      else faults.push({ reason: 'TargetForbidden', message: `target ${target.name}: ${forbidden}` });
    }
  }
  return { places, faults };
}

/** The Services that a probe goes to, as `namespace/name`. */
export function servicesOf({ targets, namespace }: ProbeRecord): ReadonlySet<string> {
  const keys = targets.flatMap(({ service }) =>
    service === undefined ? [] : [`${service.namespace ?? namespace}/${service.name}`],
  );
  return new Set(keys);
}

interface HostAndPort {
  readonly host: string;
  readonly port: number;
}

function placesOf(
  target: HandshakeTarget,
  namespace: string,
  directory: Directory,
): readonly HostAndPort[] | Fault {
  const { name, address, host, service, port } = target;
  if (service === undefined) return [{ host: address ?? host ?? '', port: Number(port) }];
  const key = `${service.namespace ?? namespace}/${service.name}`;
  const found = directory.serviceOf(key);
  if (found === undefined) {
    return { reason: 'ServiceNotFound', message: `target ${name}: there is no Service ${key}` };
  }
  if (service.via === 'Endpoints') return endpointPlaces(name, key, port, found, directory);
  const number = portOf(found.ports, port);
  if (number === undefined && found.type !== 'ExternalName') return noPort(name, key, port, found.ports);
  if (found.type === 'ExternalName') {
    return typeof port === 'number'
      ? [{ host: found.externalName, port }]
      : {
          reason: 'PortNotFound',
          message: `target ${name}: Service ${key} is of type ExternalName: give the port as a number`,
        };
  }
  if (isIP(found.clusterIp) === 0) {
    return {
      reason: 'NoClusterIP',
      message: `target ${name}: Service ${key} is headless and has no address of its own: probe it with via: Endpoints`,
    };
  }
  return [{ host: found.clusterIp, port: number ?? 0 }];
}

function endpointPlaces(
  name: string,
  key: string,
  port: number | string,
  service: ServiceRecord,
  directory: Directory,
): readonly HostAndPort[] | Fault {
  const portName = typeof port === 'string' ? port : service.ports.find((each) => each.port === port)?.name;
  if (portName === undefined || (typeof port === 'string' && portOf(service.ports, port) === undefined)) {
    return noPort(name, key, port, service.ports);
  }
  const found = new Map<string, HostAndPort>();
  for (const { ports, addresses } of directory.endpointsOf(key)) {
    const number = ports.find((each) => each.name === portName)?.port;
    if (number === undefined) continue;
    for (const host of addresses) found.set(hostPortText(host, number), { host, port: number });
  }
  if (found.size > 0) return [...found.values()];
  return { reason: 'NoEndpoints', message: `target ${name}: Service ${key} has no ready endpoint` };
}

function portOf(ports: readonly NamedPort[], wanted: number | string): number | undefined {
  return ports.find(({ name, port }) => (typeof wanted === 'number' ? port === wanted : name === wanted))
    ?.port;
}

function noPort(name: string, key: string, port: number | string, ports: readonly NamedPort[]): Fault {
  const has = ports.map((each) => (each.name === '' ? each.port : `${each.name} (${each.port})`)).join(', ');
  return {
    reason: 'PortNotFound',
    message: `target ${name}: Service ${key} has no TCP port ${port}: it has ${has || 'none'}`,
  };
}
