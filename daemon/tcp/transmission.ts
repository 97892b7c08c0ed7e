/** What a sender wants on the wire. */

import type { Seq } from '../wire/seq.ts';

/** Text from the ring, perhaps the FIN; a probe of the window may be neither. */
export interface Transmission {
  readonly seq: Seq;
  readonly length: number;
  readonly fin: boolean;
  /** It ends what is queued (MUST-61). */
  readonly push: boolean;
  readonly retransmission: boolean;
  /** New text on a connection with ECN: routers may mark it. RFC 3168 6.1 */
  readonly markable: boolean;
}

/** What an expired timer came to. */
export type Expiry = 'nothing' | 'send' | 'give-up';
