/** What went wrong with a request to the API server, as a closed set of reasons. */

/** `metav1.StatusReason` where the server gave one; the rest is ours. */
export type KubeReason =
  | 'Unreachable'
  | 'Timeout'
  | 'Unauthorized'
  | 'Forbidden'
  | 'NotFound'
  | 'AlreadyExists'
  | 'Conflict'
  | 'Gone'
  | 'Expired'
  | 'Invalid'
  | 'TooManyRequests'
  | 'ServiceUnavailable'
  | 'Undecodable'
  | (string & {});

export class KubeError extends Error {
  override readonly name = 'KubeError';
  /** HTTP status; 0 when there was no answer. */
  readonly status: number;
  readonly reason: KubeReason;
  /** How long the server wants to be left alone; undefined when it does not say. */
  readonly retryAfterMs: number | undefined;

  constructor(
    status: number,
    reason: KubeReason,
    message: string,
    options: { readonly cause?: unknown; readonly retryAfterMs?: number | undefined } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.status = status;
    this.reason = reason;
    this.retryAfterMs = options.retryAfterMs;
  }
}

const REASONS: Readonly<Record<number, KubeReason>> = {
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'NotFound',
  409: 'Conflict',
  410: 'Gone',
  422: 'Invalid',
  429: 'TooManyRequests',
  503: 'ServiceUnavailable',
  504: 'Timeout',
};

/** What stands between may ask for more, up to times that no timer can hold. */
const RETRY_AFTER_MAX_MS = 120_000;

/**
 * The error of an answer that is none of success.
 * @param what the request, for the message: `get pods web/shop`
 * @param body the answer's text, usually a `metav1.Status`
 */
export function errorOfAnswer(what: string, status: number, body: string, retryAfter?: string): KubeError {
  const given = statusOf(body);
  const reason = given?.reason ?? REASONS[status] ?? 'Unknown';
  const seconds = Number(retryAfter ?? given?.details?.retryAfterSeconds ?? Number.NaN);
  const retryAfterMs = seconds >= 0 ? Math.min(seconds * 1000, RETRY_AFTER_MAX_MS) : undefined;
  return new KubeError(status, reason, `${what}: ${given?.message ?? `HTTP ${status}`}`, { retryAfterMs });
}

interface Status {
  readonly kind?: string;
  readonly message?: string;
  readonly reason?: string;
  readonly code?: number;
  readonly details?: { readonly retryAfterSeconds?: number };
}

function statusOf(body: string): Status | undefined {
  try {
    const value: unknown = JSON.parse(body);
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Whether the error says that a resource version, or the page of a list, is too old to go on from. */
export function isExpired(error: unknown): boolean {
  return error instanceof KubeError && (error.status === 410 || error.reason === 'Expired');
}

export function isNotFound(error: unknown): boolean {
  return error instanceof KubeError && error.status === 404;
}

export function isConflict(error: unknown): boolean {
  return error instanceof KubeError && error.status === 409;
}
