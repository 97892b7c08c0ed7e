/** The kernel's numbers of TCP states (net/tcp_states.h) in RFC 9293 spelling. */

import type { TcpStateName } from '#contract';

const NAMES: readonly (TcpStateName | undefined)[] = [
  undefined,
  'ESTABLISHED',
  'SYN-SENT',
  'SYN-RECEIVED',
  'FIN-WAIT-1',
  'FIN-WAIT-2',
  'TIME-WAIT',
  'CLOSED',
  'CLOSE-WAIT',
  'LAST-ACK',
  'LISTEN',
  'CLOSING',
];

/** The state's name, or undefined for a number this version does not know. */
export function tcpStateName(kernelState: number): TcpStateName | undefined {
  return NAMES[kernelState];
}
