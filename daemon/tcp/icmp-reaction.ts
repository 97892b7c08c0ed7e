/** What an ICMP error does to the connection it is about. RFC 9293 3.9.2.2, RFC 5461, RFC 5927 */

import type { IpAddress } from '../wire/address.ts';
import type { IcmpError } from '../wire/icmp.ts';
import { type Seq, seqLeq, seqLt } from '../wire/seq.ts';
import type { Connection } from './connection.ts';
import type { Core } from './core.ts';
import { shrinkPath } from './process-segment.ts';
import { MIN_PATH_MTU, type Profile } from './profile.ts';

/** What RFC 1191 section 5 takes when an old router names no MTU: the next lower one of these. */
const PLATEAUS = [65535, 32000, 17914, 8166, 4352, 2002, 1492, 1006, 508, 296, 68] as const;

/** @param quotedSeq sequence number of the segment the error quotes */
export function icmpErrorArrives(
  core: Core,
  connection: Connection,
  from: IpAddress,
  error: IcmpError,
  quotedSeq: Seq,
  nowUs: number,
): void {
  // MUST-55: a source quench is dropped silently.
  if (error.kind === 'source-quench') return core.drop('icmp-ignored');
  // RFC 5927 4.1: an error about something that is not in flight is not about this connection.
  if (!isInFlight(connection, quotedSeq)) return core.drop('icmp-unmatched');
  core.tell({ kind: 'icmp', id: connection.id, atUs: nowUs, from, error });
  if (error.kind === 'too-big') {
    if (!core.profile.pathMtuDiscovery) return core.drop('icmp-ignored');
    return tooBig(core, connection, error.mtu ?? 0, nowUs);
  }
  // RFC 5461 4.1: hard errors end only what is not yet synchronized; later they may be forged or pass.
  if (!('syn' in connection.state) || !core.profile.icmpMayReset) return;
  if (isFatal(core.profile.icmpFatal, error)) core.end(connection, 'unreachable', nowUs);
}

function isInFlight({ state }: Connection, quoted: Seq): boolean {
  if ('syn' in state) return quoted === state.syn.iss;
  if (!('sender' in state)) return false;
  return seqLeq(state.sender.una, quoted) && seqLt(quoted, state.sender.max);
}

/** RFC 9293 3.9.2.2: protocol and port unreachable; and what forbids the connection for good (RFC 1812 5.2.7.1). */
function isHard(error: IcmpError): boolean {
  return (
    error.kind === 'protocol-unreachable' ||
    error.kind === 'port-unreachable' ||
    error.kind === 'administratively-prohibited'
  );
}

function isFatal(which: Profile['icmpFatal'], error: IcmpError): boolean {
  if (which === 'all' || isHard(error)) return true;
  return which === 'hard-and-expired' && error.kind === 'time-exceeded';
}

/** RFC 1191, RFC 8201: the path takes less. Values that cannot be are dropped. */
function tooBig(core: Core, connection: Connection, mtu: number, nowUs: number): void {
  const { family } = connection.remote.address;
  const named = mtu === 0 && family === 4 ? plateauBelow(connection.pathMtu) : mtu;
  if (named < MIN_PATH_MTU[family] || named >= connection.pathMtu) return core.drop('icmp-ignored');
  shrinkPath(connection, named, nowUs);
}

function plateauBelow(pathMtu: number): number {
  return PLATEAUS.find((plateau) => plateau < pathMtu) ?? MIN_PATH_MTU[4];
}
