/** Ephemeral ports that strangers cannot guess. RFC 6056 section 3.3.3 (simple hash-based selection) */

import { readU32 } from '../wire/bytes.ts';
import { TUPLE_BYTES_MAX, writeTuple } from './isn.ts';
import { SipHash24 } from './siphash.ts';
import type { SocketAddress } from './types.ts';

const FIRST_PORT = 32768;
const PORTS = 65536 - FIRST_PORT;

/**
 * Answers a port for which `isFree` holds, or undefined when none is left. Each destination walks the range
 * from a start of its own, so that a port is reused as late as possible.
 */
export function createPortSource(
  random: (length: number) => Uint8Array,
): (
  local: SocketAddress['address'],
  remote: SocketAddress,
  isFree: (port: number) => boolean,
) => number | undefined {
  const keyed = new SipHash24(random(16));
  const tuple = new Uint8Array(TUPLE_BYTES_MAX);
  let nextEphemeral = readU32(random(4), 0) % PORTS;
  return (address, remote, isFree) => {
    const offset = keyed.hash(tuple, writeTuple(tuple, { address, port: 0 }, remote)) % PORTS;
    for (let tried = 0; tried < PORTS; tried += 1) {
      const port = FIRST_PORT + ((offset + nextEphemeral) % PORTS);
      nextEphemeral = (nextEphemeral + 1) % PORTS;
      if (isFree(port)) return port;
    }
    return undefined;
  };
}
