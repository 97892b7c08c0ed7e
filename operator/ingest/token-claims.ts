/**
 * What a bearer token says about itself, unverified. Good for two things only: not to trouble the API server with
 * what it cannot accept, and to explain a refusal. Who speaks is what the API server's review says.
 */

export interface TokenClaims {
  readonly audiences: readonly string[];
  readonly subject: string;
  readonly issuer: string;
  /** Unix milliseconds. */
  readonly expiresMs: number;
}

/** The claims of a JSON Web Token (RFC 7519); undefined when it is none, or lacks one of them. */
export function unverifiedClaims(token: string): TokenClaims | undefined {
  const [, payload, , ...more] = token.split('.');
  if (payload === undefined || more.length > 0) return undefined;
  let claims: unknown;
  try {
    claims = JSON.parse(Buffer.from(payload, 'base64url').toString('utf8'));
  } catch {
    return undefined;
  }
  if (typeof claims !== 'object' || claims === null) return undefined;
  const { aud, sub, iss, exp } = claims as Record<string, unknown>;
  const audiences = (Array.isArray(aud) ? aud : [aud]).filter((one) => typeof one === 'string');
  if (typeof sub !== 'string' || typeof iss !== 'string' || typeof exp !== 'number') return undefined;
  return { audiences, subject: sub, issuer: iss, expiresMs: exp * 1000 };
}
