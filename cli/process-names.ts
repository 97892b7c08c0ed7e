/** The processes that may be seen, by their ids and names, for who asks whether one is there at all. */

import type { ProcessRef } from '#contract';
import { namesIn, textOf } from './quiet-read.ts';

export function someProcess(matches: (process: ProcessRef) => boolean): boolean {
  return namesIn('/proc').some((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    const name = textOf(`/proc/${pid}/comm`).trimEnd();
    return name !== '' && matches({ pid: Number(pid), name });
  });
}
