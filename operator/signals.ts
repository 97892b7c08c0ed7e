/** What ends the operator: signals, and the parent that started it. */

/** Listens for what ends the operator until disposed. */
export function stopRequests(): Disposable & { readonly stopped: Promise<string> } {
  const { promise: stopped, resolve } = Promise.withResolvers<string>();
  const hasParent = process.send !== undefined;
  const onSigterm = (): void => resolve('SIGTERM');
  // Ctrl-C and a hang-up reach a whole terminal at once; a parent ends us when the agent has sent its last report.
  const onTerminal = (signal: NodeJS.Signals): void => (hasParent ? undefined : resolve(signal));
  const onDisconnect = (): void => resolve('the parent is gone');
  process.on('SIGTERM', onSigterm).on('SIGINT', onTerminal).on('SIGHUP', onTerminal);
  if (hasParent) process.on('disconnect', onDisconnect);
  return {
    stopped,
    [Symbol.dispose]() {
      process.off('SIGTERM', onSigterm).off('SIGINT', onTerminal).off('SIGHUP', onTerminal);
      process.off('disconnect', onDisconnect);
    },
  };
}

export function tellParent(message: Readonly<Record<string, unknown>>): void {
  if (process.connected) process.send?.(message);
}
