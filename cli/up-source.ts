/** Reads the operator's overview as any client of its API does. */

import type { Overview } from '../operator/fleet/view.ts';

const TIMEOUT_MS = 2000;

/** The overview now, or undefined while the operator does not answer. */
export async function fetchOverview(webUrl: string): Promise<Overview | undefined> {
  try {
    const response = await fetch(new URL('/api/v1/overview', webUrl), {
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    return response.ok ? ((await response.json()) as Overview) : undefined;
  } catch {
    return undefined;
  }
}
