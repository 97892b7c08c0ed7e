import type { OperatorSettings } from './settings.ts';

/** Runs the operator until a signal, or until the parent that started it is gone; answers the exit code. */
export async function runOperator(_settings: OperatorSettings): Promise<number> {
  return 0;
}
