/** Where an operator that does not lead says the leader is. */

import { isIP } from 'node:net';
import type { Answer } from './push-request.ts';

/**
 * The leader's address of an answer 421: `https://ADDRESS:PORT`, and nothing else. It is only where to connect:
 * who answers there must still show a certificate for the operator's name before it gets a token.
 */
export function leaderOf({ status, text }: Pick<Answer, 'status' | 'text'>): string | undefined {
  if (status !== 421) return undefined;
  const leader = leaderField(text);
  const [, bracketed, plain, port] =
    /^https:\/\/(?:\[([0-9a-f:.]{2,45})\]|([0-9.]{7,15})):(\d{1,5})$/.exec(leader) ?? [];
  const isAddress = bracketed === undefined ? isIP(plain ?? '') === 4 : isIP(bracketed) === 6;
  return isAddress && Number(port) >= 1 && Number(port) <= 65_535 ? leader : undefined;
}

/** Whether the one that answered takes no reports for now, or no more; the operator's `NOT_LEADER`. */
export function leadsNot({ status, text }: Pick<Answer, 'status' | 'text'>): boolean {
  return status === 421 || (status === 503 && parsed(text)?.error?.code === 'NOT_LEADER');
}

function leaderField(text: string): string {
  const leader = parsed(text)?.leader;
  return typeof leader === 'string' ? leader : '';
}

/** Nothing in it is trusted to be there. */
function parsed(text: string): { leader?: unknown; error?: { code?: unknown } } | undefined {
  try {
    return JSON.parse(text) ?? undefined;
  } catch {
    return undefined;
  }
}
