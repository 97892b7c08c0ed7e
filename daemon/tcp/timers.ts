/** The one timer of a sender: at most one of these waits at a time, so none can contradict another. */
export type SendTimer =
  | { readonly kind: 'idle' }
  /** Sent data or FIN waits for its acknowledgement. RFC 6298 section 5 */
  | { readonly kind: 'retransmit'; readonly atUs: number }
  /** The same, and a probe of the tail comes before the timeout. RFC 8985 7.2 */
  | { readonly kind: 'tail-probe'; readonly atUs: number; readonly timeoutUs: number }
  /** The same, and a late segment is to be taken as lost before the timeout. RFC 8985 6.3 */
  | { readonly kind: 'reorder'; readonly atUs: number; readonly timeoutUs: number }
  /** There is something to send and the window has no room for it. RFC 9293 3.8.6.1, 3.8.6.2.1 */
  | { readonly kind: 'persist'; readonly atUs: number };

export const IDLE: SendTimer = { kind: 'idle' };

/** What a receiver owes the peer. RFC 9293 3.8.6.3 */
export type AckDuty =
  | { readonly kind: 'none' }
  | { readonly kind: 'delayed'; readonly atUs: number }
  | { readonly kind: 'now' };

export const NO_ACK: AckDuty = { kind: 'none' };
export const ACK_NOW: AckDuty = { kind: 'now' };
