/**
 * Who speaks, in a cluster: the API server reviews the agent's projected ServiceAccount token, and the node is
 * the one the token was issued for. Reviews are remembered, shared while they run, and bounded in number.
 */

import { createHash } from 'node:crypto';
import type { Refusal } from '../http/answer.ts';
import type { Authentication, Authenticator } from './authenticator.ts';
import * as refusals from './refusals.ts';
import { ReviewBudget } from './review-budget.ts';
import type { TokenClaims } from './token-claims.ts';
import { unverifiedClaims } from './token-claims.ts';

/** `status` of a TokenReview (authentication.k8s.io/v1), as far as it is read. */
export interface TokenReviewStatus {
  readonly authenticated?: boolean;
  readonly error?: string;
  readonly audiences?: readonly string[];
  readonly user?: {
    readonly username?: string;
    readonly extra?: Readonly<Record<string, readonly string[]>>;
  };
}

export interface TokenReviewOptions {
  /** Asks the API server; rejects when it does not answer. */
  readonly review: (token: string) => Promise<TokenReviewStatus>;
  readonly audience: string;
  /** `system:serviceaccount:NAMESPACE:NAME` */
  readonly username: string;
  readonly nowMs: () => number;
  readonly count: (event: string) => void;
  readonly reviewsPerSecond?: number;
}

interface Remembered {
  readonly outcome: Authentication;
  /** Until then the API server is not asked again. */
  readonly freshUntilMs: number;
  /** Until then the outcome stands in while the API server is away. */
  readonly usableUntilMs: number;
}

const NODE_NAME = 'authentication.kubernetes.io/node-name';
/** A token that is revoked (its pod deleted) is taken for at most so long. */
const ACCEPTED_MS = 5 * 60_000;
const REFUSED_MS = 10_000;
/** Twice what the largest cluster has of agents, at some hundred bytes each. */
const MAX_REMEMBERED = 10_000;
/** A new leader knows nobody: five thousand agents are to be known within ten seconds. */
const REVIEWS_PER_SECOND = 500;

export function tokenReviewAuthenticator(options: TokenReviewOptions): Authenticator {
  const { review, nowMs, count } = options;
  const budget = new ReviewBudget(options.reviewsPerSecond ?? REVIEWS_PER_SECOND);
  /** By the token's hash, the one asked last at the end. */
  const remembered = new Map<string, Remembered>();
  const underWay = new Map<string, Promise<Authentication>>();

  const remember = (key: string, outcome: Authentication, expiresMs: number): void => {
    const now = nowMs();
    const known = 'node' in outcome;
    remembered.delete(key);
    remembered.set(key, {
      outcome,
      freshUntilMs: known ? Math.min(expiresMs, now + ACCEPTED_MS) : now + REFUSED_MS,
      usableUntilMs: known ? expiresMs : 0,
    });
    const [oldest] = remembered.keys();
    if (remembered.size > MAX_REMEMBERED && oldest !== undefined) remembered.delete(oldest);
  };

  const reviewed = async (key: string, token: string, claims: TokenClaims): Promise<Authentication> => {
    const standIn = (refused: Refusal): Authentication => {
      const before = remembered.get(key);
      if (before === undefined || nowMs() >= before.usableUntilMs) return { refused };
      count('reviews.standIn');
      return before.outcome;
    };
    if (!budget.take(nowMs())) return standIn(refusals.tooManyReviews);
    count('reviews.asked');
    let status: TokenReviewStatus;
    try {
      status = await review(token);
    } catch (error) {
      count('reviews.failed');
      return standIn(refusals.reviewFailed((error as Error).message));
    }
    const outcome = judge(status, claims, options);
    remember(key, outcome, claims.expiresMs);
    return outcome;
  };

  return async (token) => {
    const key = createHash('sha256').update(token).digest('base64');
    const before = remembered.get(key);
    if (before !== undefined && nowMs() < before.freshUntilMs) return before.outcome;
    const running = underWay.get(key);
    if (running !== undefined) return running;
    const claims = unverifiedClaims(token);
    if (claims === undefined) return { refused: refusals.foreignToken('it is no ServiceAccount token') };
    const hopeless = refusedByClaims(claims, options);
    if (hopeless !== undefined) return { refused: hopeless };
    const asking = reviewed(key, token, claims).finally(() => underWay.delete(key));
    underWay.set(key, asking);
    return asking;
  };
}

type Expected = Pick<TokenReviewOptions, 'audience' | 'username' | 'nowMs'>;

/** Refuses by the token's own words what the API server could only refuse, too. */
function refusedByClaims(claims: TokenClaims, { audience, username }: Expected): Refusal | undefined {
  if (!claims.audiences.includes(audience)) return refusals.wrongAudience(claims.audiences, audience);
  if (claims.subject !== username) return refusals.wrongAccount(claims.subject, username);
  return undefined;
}

/** What a review says, held against what an agent's token must be. */
function judge(status: TokenReviewStatus, claims: TokenClaims, expected: Expected): Authentication {
  const { audience, username, nowMs } = expected;
  if (status.authenticated !== true) {
    return claims.expiresMs <= nowMs()
      ? { refused: refusals.expiredToken }
      : { refused: refusals.foreignToken(status.error ?? 'the API server does not know it') };
  }
  // An API server that does not know audiences answers without any, and vouches for none.
  if (status.audiences?.includes(audience) !== true) {
    return { refused: refusals.wrongAudience(status.audiences ?? [], audience) };
  }
  const user = status.user?.username ?? '';
  if (user !== username) return { refused: refusals.wrongAccount(user, username) };
  const names = status.user?.extra?.[NODE_NAME] ?? [];
  const [node = ''] = names;
  return names.length === 1 && node !== '' ? { node } : { refused: refusals.tokenWithoutNode };
}
