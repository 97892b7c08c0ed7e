/** Whether a segment is large enough to be sent now. RFC 9293 3.7.4 and 3.8.6.2.1 (MUST-38) */

export interface Candidate {
  /** Text that may be sent now, that waits in all, and that a full segment holds. */
  readonly length: number;
  readonly unsent: number;
  readonly most: number;
  /** It is what the full segments that just left have left of the window, and to be sent. */
  readonly fills: boolean;
  /** The largest window the peer ever offered. */
  readonly maxWnd: number;
  readonly nagle: boolean;
  /** The user has more to come. */
  readonly corked: boolean;
  /** Nothing is on its way that an answer to would let this go. */
  readonly idle: boolean;
}

export function isWorthSending({
  length,
  unsent,
  most,
  fills,
  maxWnd,
  nagle,
  corked,
  idle,
}: Candidate): boolean {
  if (length === most) return true;
  if (length === unsent || fills) return !corked && (!nagle || idle);
  return length >= maxWnd / 2 && (!nagle || idle);
}
