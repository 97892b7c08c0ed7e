/** What ICMP error types and codes mean, for both families. IANA registries "ICMP Parameters" and "ICMPv6 Parameters" */

import type { Family } from './address.ts';

export type IcmpErrorKind =
  | 'network-unreachable'
  | 'host-unreachable'
  | 'protocol-unreachable'
  | 'port-unreachable'
  | 'too-big'
  | 'source-route-failed'
  | 'administratively-prohibited'
  | 'unreachable'
  | 'source-quench'
  | 'time-exceeded'
  | 'parameter-problem';

const V4_UNREACHABLE: readonly IcmpErrorKind[] = [
  'network-unreachable',
  'host-unreachable',
  'protocol-unreachable',
  'port-unreachable',
  'too-big',
  'source-route-failed',
  'network-unreachable',
  'host-unreachable',
  'host-unreachable',
  'administratively-prohibited',
  'administratively-prohibited',
  'network-unreachable',
  'host-unreachable',
  'administratively-prohibited',
];

const V6_UNREACHABLE: readonly IcmpErrorKind[] = [
  'network-unreachable',
  'administratively-prohibited',
  'network-unreachable',
  'host-unreachable',
  'port-unreachable',
  'administratively-prohibited',
  'administratively-prohibited',
];

/** The kind of an error message; undefined when the type is not an error. */
export function errorKind(family: Family, type: number, code: number): IcmpErrorKind | undefined {
  if (family === 4) {
    if (type === 3) return V4_UNREACHABLE[code] ?? 'unreachable';
    if (type === 4) return 'source-quench';
    if (type === 11) return 'time-exceeded';
    if (type === 12) return 'parameter-problem';
    return undefined;
  }
  if (type === 1) return V6_UNREACHABLE[code] ?? 'unreachable';
  if (type === 2) return 'too-big';
  if (type === 3) return 'time-exceeded';
  // Code 1, unrecognized next header: the host does not speak the protocol (RFC 4443 3.4).
  if (type === 4) return code === 1 ? 'protocol-unreachable' : 'parameter-problem';
  return undefined;
}
