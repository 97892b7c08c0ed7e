/** Signals that end a one-shot command early, as an abort and as the exit code they mean. */

export interface Signals extends Disposable {
  /** Aborted by the first of them. A second one ends the process at once. */
  readonly signal: AbortSignal;
  /** 128 and the signal's number, once one has come. */
  readonly exitCode: number | undefined;
}

const CODES = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

export function listenForSignals(): Signals {
  const controller = new AbortController();
  let exitCode: number | undefined;
  const onSignal = (name: NodeJS.Signals) => {
    exitCode ??= CODES[name as keyof typeof CODES];
    controller.abort();
    stop();
  };
  const stop = () => {
    for (const name of Object.keys(CODES)) process.off(name, onSignal);
  };
  for (const name of Object.keys(CODES)) process.on(name, onSignal);
  return {
    signal: controller.signal,
    get exitCode() {
      return exitCode;
    },
    [Symbol.dispose]: stop,
  };
}
