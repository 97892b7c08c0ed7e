/** What ends the agent from outside: signals, the death of the parent that started it, its own bugs. */

import { constants } from 'node:os';
import type { Condition } from '#base/errors.ts';
import type { Logger } from '#base/log.ts';

/** Exit codes beyond those every command holds to. sysexits.h EX_SOFTWARE, EX_OSERR */
const EXIT_BUG = 70;
export const EXIT_WORKER_DIED = 71;

const STOP_SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;

export interface ProcessWatch extends Disposable {
  /** Resolves with what asked the agent to stop: a signal's name, or that the parent is gone. */
  readonly toldToStop: Promise<string>;
}

/**
 * Watches this process until disposed: the first signal asks to stop, a second one ends it at once; an exception
 * that nobody caught is written as the last line and ends it with EXIT_BUG.
 */
export function watchProcess(log: Logger): ProcessWatch {
  const told = Promise.withResolvers<string>();
  let stopping = false;
  const onSignal = (signal: NodeJS.Signals) => {
    if (stopping) process.exit(128 + constants.signals[signal]);
    stopping = true;
    told.resolve(signal);
  };
  const onDisconnect = () => told.resolve('the end of the process that started it');
  const onBug = (error: unknown) => {
    const stack = error instanceof Error ? error.stack : undefined;
    log.log('error', `INTERNAL: ${stack ?? String(error)}`, {
      hint: 'this is a bug of finwait: report it with these lines',
    });
    process.exit(EXIT_BUG);
  };
  for (const signal of STOP_SIGNALS) process.on(signal, onSignal);
  process.on('disconnect', onDisconnect);
  process.on('uncaughtException', onBug);
  return {
    toldToStop: told.promise,
    [Symbol.dispose]() {
      for (const signal of STOP_SIGNALS) process.off(signal, onSignal);
      process.off('disconnect', onDisconnect);
      process.off('uncaughtException', onBug);
    },
  };
}

/** What the agent tells the process that started it with an IPC channel, if one did. */
export type ParentMessage =
  | { readonly type: 'ready'; readonly http: { readonly address: string; readonly port: number } }
  | ({ readonly type: 'failed' } & Condition);

export function tellParent(message: ParentMessage): void {
  // A parent that is just going away is told by `disconnect`, not by an error here.
  if (process.connected) process.send?.(message, () => {});
}
