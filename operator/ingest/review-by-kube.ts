/** Asks the API server about tokens (authentication.k8s.io/v1 TokenReview), not about too many at once. */

import type { KubeClient } from '../kube/client.ts';
import { TOKEN_REVIEWS } from '../kube/resource.ts';
import type { TokenReviewStatus } from './token-review.ts';

/** An agent waits for the answer. */
const PATIENCE_MS = 5000;
/** Each has a connection of its own while it runs. */
const AT_ONCE = 32;

/** Rejects when the API server does not answer in time, or does not let the operator ask. */
export function reviewBy(
  client: Pick<KubeClient, 'create'>,
  audience: string,
  patienceMs = PATIENCE_MS,
): (token: string) => Promise<TokenReviewStatus> {
  let running = 0;
  const waiting: (() => void)[] = [];

  async function ask(token: string): Promise<TokenReviewStatus> {
    if (running < AT_ONCE) running++;
    else await new Promise<void>((resolve) => waiting.push(resolve));
    try {
      const { status } = await client.create(TOKEN_REVIEWS, { spec: { token, audiences: [audience] } });
      return typeof status === 'object' && status !== null ? status : {};
    } finally {
      const next = waiting.shift();
      if (next === undefined) running--;
      else next();
    }
  }

  return async (token) => {
    const { promise: late, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(() => reject(new Error(`no answer within ${patienceMs / 1000} s`)), patienceMs);
    try {
      return await Promise.race([ask(token), late]);
    } finally {
      clearTimeout(timer);
    }
  };
}
