/** On a terminal, a line that tells how long nothing has come; a silent peer takes many seconds to be called so. */

import type { CliIo } from './io.ts';
import type { ProbeSettings } from './probe-settings.ts';

export interface Waiting {
  /** Takes the line away, before something is printed. */
  clear(): void;
  end(): void;
}

const TICK_MS = 1_000;
const ERASE_LINE = '\r\x1b[K';

export function showWaiting(io: CliIo, { json, count }: ProbeSettings, targets: number): Waiting {
  if (!io.isTTY || json || io.env.TERM === 'dumb') return { clear: () => {}, end: () => {} };
  let sinceMs = performance.now();
  let shown = false;
  const clear = () => {
    if (shown) io.stdout.write(ERASE_LINE);
    shown = false;
    sinceMs = performance.now();
  };
  const timer = setInterval(() => {
    const seconds = Math.round((performance.now() - sinceMs) / 1000);
    const what = targets * count > 1 ? 'probes under way' : 'probe under way';
    io.stdout.write(`${ERASE_LINE}  ${what}, no verdict for ${seconds} s (Ctrl-C ends it)`);
    shown = true;
  }, TICK_MS);
  return {
    clear,
    end() {
      clearInterval(timer);
      clear();
    },
  };
}
