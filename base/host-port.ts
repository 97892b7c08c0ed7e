/** `HOST:PORT` as people write it: `db:5432`, `10.0.0.1:80`, `[fe80::1%eth0]:22`. */

import type { Decoded } from './result.ts';
import { decoded, undecodable } from './result.ts';

export interface HostPort {
  /** A host name or an address; an IPv6 address without its brackets. */
  readonly host: string;
  readonly port: number;
}

const HOST_NAME = /^(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*\.?$/i;
const BRACKETED_IPV6 = /^[0-9a-f:.]{2,45}(%[\w.-]{1,32})?$/i;

/**
 * Reads `HOST:PORT`; an IPv6 address stands in brackets.
 * @param minPort 0 where "any free port" makes sense, as for listening
 */
export function parseHostPort(text: string, minPort: 0 | 1 = 1): Decoded<HostPort> {
  const match = /^(?:\[([^\]]*)\]|([^[\]:]*)):(\d{1,5})$/.exec(text);
  if (match === null) {
    return (text.match(/:/g) ?? []).length > 1
      ? undecodable('is not HOST:PORT (write an IPv6 address in brackets: [::1]:443)')
      : undecodable('is not HOST:PORT');
  }
  const [, bracketed, plain, digits] = match;
  const port = Number(digits);
  if (port < minPort || port > 65_535) return undecodable(`has a port that is not ${minPort} to 65535`);
  if (bracketed !== undefined) {
    return BRACKETED_IPV6.test(bracketed) && bracketed.includes(':')
      ? decoded({ host: bracketed, port })
      : undecodable('has no IPv6 address between the brackets');
  }
  return plain !== undefined && HOST_NAME.test(plain)
    ? decoded({ host: plain, port })
    : undecodable('has no host name or address before the colon');
}

/** The same the other way round. */
export function hostPortText(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** A setting's parser for an address to listen on; port 0 is any free port. */
export function listenAddress(text: string): Decoded<HostPort> {
  return parseHostPort(text, 0);
}
