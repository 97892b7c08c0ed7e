/** The fault of a program that asks for any port to listen on: the kernel says of it what it says of a port that is taken. */

import { FinwaitError } from './errors.ts';

/** bind(2) to port 0 answers EADDRINUSE when none of net.ipv4.ip_local_port_range is free. */
export function noPortFree(host: string, cause: unknown): FinwaitError {
  return new FinwaitError(
    'PORT_IN_USE',
    `no local port is free to listen on ${host}`,
    'finwait ports tells towards whom they are in use; net.ipv4.ip_local_port_range says how many there are',
    cause,
  );
}
