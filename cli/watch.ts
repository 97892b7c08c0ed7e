/** `--watch`: a table again and again, in place on a terminal, one below the other where it goes elsewhere. */

import { setTimeout as sleep } from 'node:timers/promises';
import type { Setting } from '#base/settings.ts';
import { durationMs } from '#base/settings.ts';
import type { CliIo } from './io.ts';
import { EXIT } from './io.ts';
import { listenForSignals } from './probe-signals.ts';
import { switchOf } from './table.ts';

const HOUR_MS = 3_600_000;
/** To the corner, and nothing below it: what stood there before would shine through otherwise. */
const HOME_AND_CLEAR = '\u001b[H\u001b[J';

export const WATCH_SETTINGS = {
  watch: switchOf('watch', 'w', 'again and again, until Ctrl-C; ages and rates are those seen meanwhile'),
  interval: {
    name: 'interval',
    placeholder: 'DURATION',
    doc: 'time between two readings with --watch',
    default: 2_000,
    defaultText: '2s',
    parse: durationMs(100, HOUR_MS),
  },
} as const satisfies Readonly<Record<string, Setting<unknown>>>;

/** Does the round once, or until a signal comes; answers the exit code. What a round throws ends it. */
export async function watching(
  io: CliIo,
  { watch, interval }: { readonly watch: boolean; readonly interval: number },
  round: (number: number) => void | Promise<void>,
): Promise<number> {
  if (!watch) {
    await round(1);
    return EXIT.ok;
  }
  using signals = listenForSignals(io.stdout);
  for (let number = 1; !signals.signal.aborted; number++) {
    if (io.isTTY) io.stdout.write(HOME_AND_CLEAR);
    await round(number);
    await sleep(interval, undefined, { signal: signals.signal }).catch(() => {});
  }
  if (signals.fault !== undefined) throw signals.fault;
  return EXIT.ok;
}
