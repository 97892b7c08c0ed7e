/** On a terminal, a line that tells how long nothing has come; a silent peer takes many seconds to be called so. */

import type { CliIo } from './io.ts';
import type { ProbeSettings } from './probe-settings.ts';

export interface Waiting {
  /** Shows the line, if it takes long, until the promise settles. */
  during<T>(probe: Promise<T>): Promise<T>;
  /** Takes the line away, before something is printed. */
  clear(): void;
}

const TICK_MS = 1_000;
const ERASE_LINE = '\r\x1b[K';

export function waitingLine(io: CliIo, { json }: ProbeSettings): Waiting {
  if (!io.isTTY || json || io.env.TERM === 'dumb') return { during: (probe) => probe, clear: () => {} };
  let probes = 0;
  let ticks = 0;
  let shown = false;
  let timer: NodeJS.Timeout | undefined;
  const clear = () => {
    if (shown) io.stdout.write(ERASE_LINE);
    shown = false;
    ticks = 0;
  };
  const tick = () => {
    ticks++;
    const what = probes === 1 ? 'probe' : `${probes} probes`;
    io.stdout.write(`${ERASE_LINE}  ${what} under way, no verdict for ${ticks} s (Ctrl-C ends it)`);
    shown = true;
  };
  return {
    async during(probe) {
      if (probes++ === 0) timer = setInterval(tick, TICK_MS);
      try {
        return await probe;
      } finally {
        if (--probes === 0) {
          clearInterval(timer);
          clear();
        }
      }
    },
    clear,
  };
}
