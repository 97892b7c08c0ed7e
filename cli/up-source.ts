/** Reads the operator's overview as any client of its API does. */

import { Agent, get } from 'node:http';
import { text } from 'node:stream/consumers';
import type { Overview } from '../operator/fleet/view.ts';

const TIMEOUT_MS = 2000;

export interface OverviewSource {
  /** The overview now, or undefined while the operator does not answer. */
  read(webUrl: string): Promise<Overview | undefined>;
  /** Ends the connection. */
  close(): void;
}

/** A source that keeps one connection open between two looks. */
export function createOverviewSource(): OverviewSource {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  return {
    async read(webUrl) {
      const { promise, resolve, reject } = Promise.withResolvers<string>();
      const signal = AbortSignal.timeout(TIMEOUT_MS);
      get(new URL('/api/v1/overview', webUrl), { agent, signal }, (response) => {
        const body = text(response);
        if (response.statusCode === 200) body.then(resolve, reject);
        else body.then(reject, reject);
      }).on('error', reject);
      try {
        return JSON.parse(await promise) as Overview;
      } catch {
        return undefined;
      }
    },
    close: () => agent.destroy(),
  };
}
