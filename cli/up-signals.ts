/** How a person or the system asks a long-running command to end: signals, or a reader that went away. */

import type { FinwaitError } from '#base/errors.ts';
import { whenOutputEnds } from './io.ts';

/** Both npm and the terminal may pass on the same Ctrl-C; within this time it counts once. */
const SAME_SIGNAL_MS = 300;

export interface Ending extends Disposable {
  /** Resolves at the first request. */
  readonly asked: Promise<void>;
  /** Aborted at the first request. */
  readonly signal: AbortSignal;
  /** Why `output` cannot be written, when that is what ends it; not when nobody reads it any more. */
  readonly fault: FinwaitError | undefined;
  /** A request from within: a key, the end of the show. */
  ask(): void;
}

/**
 * Listens for SIGINT, SIGTERM, SIGHUP and a closed `output` until disposed.
 * @param onSecond the person asked again: end at once
 */
export function untilAskedToEnd(output: NodeJS.WritableStream, onSecond: () => void): Ending {
  const controller = new AbortController();
  const { promise, resolve } = Promise.withResolvers<void>();
  let askedMs: number | undefined;
  let fault: FinwaitError | undefined;
  const ask = () => {
    askedMs ??= Date.now();
    controller.abort();
    resolve();
  };
  const onSignal = () => {
    if (askedMs !== undefined && Date.now() - askedMs > SAME_SIGNAL_MS) onSecond();
    ask();
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.on(signal, onSignal);
  whenOutputEnds(output, (why) => {
    fault ??= why;
    ask();
  });
  return {
    asked: promise,
    signal: controller.signal,
    get fault() {
      return fault;
    },
    ask,
    [Symbol.dispose]() {
      for (const signal of signals) process.off(signal, onSignal);
      // The listener on the output stays: a write that is still under way may fail after the end.
    },
  };
}
