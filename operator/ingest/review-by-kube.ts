/** Asks the API server about a token (authentication.k8s.io/v1 TokenReview). */

import type { KubeClient } from '../kube/client.ts';
import { TOKEN_REVIEWS } from '../kube/resource.ts';
import type { TokenReviewStatus } from './token-review.ts';

/** An agent waits for the answer. */
const PATIENCE_MS = 5000;

/** Rejects when the API server does not answer in time, or does not let the operator ask. */
export function reviewBy(
  client: Pick<KubeClient, 'create'>,
  audience: string,
): (token: string) => Promise<TokenReviewStatus> {
  return async (token) => {
    const { promise: late, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(
      () => reject(new Error(`no answer within ${PATIENCE_MS / 1000} s`)),
      PATIENCE_MS,
    );
    try {
      const asked = client.create(TOKEN_REVIEWS, { spec: { token, audiences: [audience] } });
      const { status } = await Promise.race([asked, late]);
      return typeof status === 'object' && status !== null ? status : {};
    } finally {
      clearTimeout(timer);
    }
  };
}
