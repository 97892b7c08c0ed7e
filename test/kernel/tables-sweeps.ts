/** Waits for sweeps that a child running tables-watch.ts prints. */

import type { TablesSweep } from '../../daemon/threads/tables-client.ts';
import type { Child } from '../support/child.ts';
import { until } from '../support/until.ts';

/** Waits for a sweep that begins after this call and passes. */
export function sweepWhere(
  watch: Child,
  what: string,
  passes: (sweep: TablesSweep) => boolean,
): Promise<TablesSweep> {
  const from = Date.now();
  return until(what, () => {
    const sweeps = watch.stdout
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as TablesSweep);
    return sweeps.find((sweep) => sweep.atMs >= from && passes(sweep));
  });
}
