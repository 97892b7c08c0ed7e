/** What ends `finwait probe` early: a signal, as an abort and as the exit code it means; output that cannot be written. */

import type { FinwaitError } from '#base/errors.ts';
import { EXIT, whenOutputEnds } from './io.ts';

export interface Signals extends Disposable {
  /** Aborted by the first of them. A second one ends the process at once. */
  readonly signal: AbortSignal;
  /** 128 and the signal's number, once one has come; 0 when nobody reads the output any more. */
  readonly exitCode: number | undefined;
  /** Why `output` cannot be written, when it cannot. */
  readonly fault: FinwaitError | undefined;
}

const CODES = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

/** Listens for signals, and for the end of `output`, until disposed. */
export function listenForSignals(output: NodeJS.WritableStream): Signals {
  const controller = new AbortController();
  let exitCode: number | undefined;
  let fault: FinwaitError | undefined;
  const onSignal = (name: NodeJS.Signals) => {
    exitCode ??= CODES[name as keyof typeof CODES];
    controller.abort();
    stop();
  };
  const stop = () => {
    for (const name of Object.keys(CODES)) process.off(name, onSignal);
  };
  for (const name of Object.keys(CODES)) process.on(name, onSignal);
  // It stays after the end: a write that is still under way may fail then.
  whenOutputEnds(output, (why) => {
    fault ??= why;
    exitCode ??= EXIT.ok;
    controller.abort();
  });
  return {
    signal: controller.signal,
    get exitCode() {
      return exitCode;
    },
    get fault() {
      return fault;
    },
    [Symbol.dispose]: stop,
  };
}
