/** Waits for what can only be looked at, not be told. */

import { setTimeout as sleep } from 'node:timers/promises';

const LOOK_MS = 50;

/**
 * Looks again and again until there is an answer.
 * @param what is named in the failure
 */
export async function until<T>(
  what: string,
  look: () => Promise<T | undefined> | T | undefined,
  timeoutMs = 40_000,
): Promise<T> {
  const deadlineMs = Date.now() + timeoutMs;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (Date.now() > deadlineMs) throw new Error(`${what}: not seen within ${timeoutMs} ms`);
    await sleep(LOOK_MS);
  }
}
