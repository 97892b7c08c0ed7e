/** How a person or the system asks a long-running command to end: signals, or a reader that went away. */

/** Both npm and the terminal may pass on the same Ctrl-C; within this time it counts once. */
const SAME_SIGNAL_MS = 300;

export interface Ending extends Disposable {
  /** Resolves at the first request. */
  readonly asked: Promise<void>;
  /** Aborted at the first request. */
  readonly signal: AbortSignal;
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
  const ask = () => {
    askedMs ??= Date.now();
    controller.abort();
    resolve();
  };
  const onSignal = () => {
    if (askedMs !== undefined && Date.now() - askedMs > SAME_SIGNAL_MS) onSecond();
    ask();
  };
  const onOutputError = (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE' && error.code !== 'EIO') throw error;
    ask();
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.on(signal, onSignal);
  output.on('error', onOutputError);
  return {
    asked: promise,
    signal: controller.signal,
    ask,
    [Symbol.dispose]() {
      for (const signal of signals) process.off(signal, onSignal);
      // The listener on the output stays: a write that is still under way may fail after the end.
    },
  };
}
