/**
 * What each processor counts of conntrack since boot, in this network namespace.
 * linux/netfilter/nfnetlink_conntrack.h, `enum ctattr_stats_cpu`
 */

import type { Decoded } from '#base/result.ts';
import { decoded, undecodable } from '#base/result.ts';
import { IPCTNL, NFGENMSG_BYTES, NFNL_SUBSYS_CTNETLINK } from './ctnetlink-attributes.ts';
import { encodeMessage, NLM_F_DUMP, NLM_F_REQUEST, viewOf, walkAttributes } from './message.ts';

/** By attribute type. The kernel no longer fills `searched`, `new`, `ignore`, `delete` and `delete_list`. */
const NAMES = {
  2: 'found',
  4: 'invalid',
  8: 'insert',
  9: 'insertFailed',
  10: 'drop',
  11: 'earlyDrop',
  12: 'error',
  13: 'searchRestart',
  14: 'clashResolve',
  15: 'chainTooLong',
} as const satisfies Readonly<Record<number, string>>;

export type ConntrackStatName = (typeof NAMES)[keyof typeof NAMES];
export const CONNTRACK_STATS: readonly ConntrackStatName[] = Object.values(NAMES);

export interface ConntrackCpuStats {
  readonly cpu: number;
  /** Each of 32 bits, which begin at 0 again. An older kernel has fewer; what it does not tell is absent. */
  readonly values: Readonly<Partial<Record<ConntrackStatName, number>>>;
}

export function encodeStatsDump(seq: number): Uint8Array {
  return encodeMessage(
    (NFNL_SUBSYS_CTNETLINK << 8) | IPCTNL.getStatsPerCpu,
    NLM_F_REQUEST | NLM_F_DUMP,
    seq,
    new Uint8Array(NFGENMSG_BYTES),
  );
}

/** The counts of one processor. */
export function decodeCpuStats(payload: Uint8Array): Decoded<ConntrackCpuStats> {
  if (payload.length < NFGENMSG_BYTES) return undecodable('shorter than its header');
  const view = viewOf(payload);
  const values: Partial<Record<ConntrackStatName, number>> = {};
  let short = false;
  const whole = walkAttributes(view, NFGENMSG_BYTES, payload.length, (type, start, end) => {
    if (!Object.hasOwn(NAMES, type)) return;
    if (end - start < 4) short = true;
    else values[NAMES[type as keyof typeof NAMES]] = view.getUint32(start);
  });
  if (!whole || short) return undecodable('attribute length out of bounds');
  // nfgenmsg.res_id, big-endian
  return decoded({ cpu: view.getUint16(2), values });
}
