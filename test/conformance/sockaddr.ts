/** struct sockaddr_in and sockaddr_in6 as Linux lays them out: the family in the machine's order, the rest in the network's. */

import type { Errno } from '../../daemon/tcp/sockets/errno.ts';
import type { SocketFamily } from '../../daemon/tcp/sockets/socket.ts';
import { addressKind, type IpAddress, ipFromBytes } from '../../daemon/wire/address.ts';

export const AF_UNSPEC = 0;
export const AF_INET = 2;
export const AF_INET6 = 10;
const SOCKADDR_IN_BYTES = 16;
const SOCKADDR_IN6_BYTES = 28;
/** Without the scope, as RFC 2133 had it; Linux takes that too. */
const SOCKADDR_IN6_BYTES_MIN = 24;

export interface Endpoint {
  readonly address: IpAddress;
  readonly port: number;
}

/** Reads what a socket of that family is given; answers an errno for what it does not take. */
export function decodeSockaddr(bytes: Uint8Array, family: SocketFamily): Endpoint | Errno {
  const least = family === 4 ? SOCKADDR_IN_BYTES : SOCKADDR_IN6_BYTES_MIN;
  if (bytes.length < least) return 'EINVAL';
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const said = view.getUint16(0, true);
  const address = ipFromBytes(family === 4 ? bytes.subarray(4, 8) : bytes.subarray(8, 24));
  const anyFamily = family === 4 && said === AF_UNSPEC && addressKind(address) === 'unspecified';
  if (said !== (family === 4 ? AF_INET : AF_INET6) && !anyFamily) return 'EAFNOSUPPORT';
  return { address, port: view.getUint16(2, false) };
}

/** An IPv4 address on an IPv6 socket is written as ::ffff:a.b.c.d. */
export function encodeSockaddr({ address, port }: Endpoint, family: SocketFamily): Uint8Array {
  const bytes = new Uint8Array(family === 4 ? SOCKADDR_IN_BYTES : SOCKADDR_IN6_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, family === 4 ? AF_INET : AF_INET6, true);
  view.setUint16(2, port, false);
  if (family === 4) bytes.set(address.bytes, 4);
  else if (address.family === 6) bytes.set(address.bytes, 8);
  else {
    bytes.fill(0xff, 18, 20);
    bytes.set(address.bytes, 20);
  }
  return bytes;
}
