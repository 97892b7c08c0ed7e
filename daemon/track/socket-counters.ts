/** What tables of sockets count. */

import type { Holder } from '#contract';

export interface SocketCounters {
  undecodable: number;
  /** Rows that a sweep saw twice, because the kernel's table changed under the dump. */
  duplicates: number;
  /** Rows that found no room. */
  untracked: number;
  /** Sockets that came into these states, and left them, since the table's first sweep. */
  readonly entered: Record<Holder['state'], number>;
  readonly left: Record<Holder['state'], number>;
}

export function noSocketCounts(): SocketCounters {
  return {
    undecodable: 0,
    duplicates: 0,
    untracked: 0,
    entered: { 'TIME-WAIT': 0, 'CLOSE-WAIT': 0 },
    left: { 'TIME-WAIT': 0, 'CLOSE-WAIT': 0 },
  };
}
