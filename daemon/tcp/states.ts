/**
 * The states of a connection, RFC 9293 section 3.3.2, each with only what exists in it. CLOSED is the absence
 * of a connection, LISTEN is a listener (listener.ts). A sender lives while something may have to be sent
 * again, a receiver while something may have to be acknowledged or read.
 */

import type { Seq } from '../wire/seq.ts';
import type { Agreement } from './agreement.ts';
import type { ByteRing } from './byte-ring.ts';
import type { Receiver } from './receiver.ts';
import type { RttEstimator } from './rtt.ts';
import type { Sender } from './sender.ts';
import type { SynSender } from './syn-sender.ts';
import type { ConnectionId } from './types.ts';

/** Calls: `send` queues, `shutdown` and `close` forget the connection. */
export interface SynSent {
  readonly name: 'SYN-SENT';
  readonly syn: SynSender;
  /** What the user wants sent once the connection is open. */
  readonly early: ByteRing;
}

/** Calls: `send` queues, `shutdown` and `close` take effect once the handshake is done. */
export interface SynReceived {
  readonly name: 'SYN-RECEIVED';
  readonly syn: SynSender;
  readonly early: ByteRing;
  readonly agreement: Agreement;
  readonly receiver: Receiver;
  /** SND.WND from the peer's SYN. */
  readonly sndWnd: number;
  /** Where it came from decides what a RST means (MUST-11). */
  readonly cameFrom:
    | { readonly open: 'active' }
    | { readonly open: 'passive'; readonly listener: ConnectionId };
  /** The user wants to close: our FIN follows the handshake. */
  closing: boolean;
}

/** What is in force from ESTABLISHED on. */
interface Synchronized {
  readonly agreement: Agreement;
  readonly receiver: Receiver;
}

/** Calls: all. */
export interface Established extends Synchronized {
  readonly name: 'ESTABLISHED';
  readonly sender: Sender;
}

/** Our FIN is queued or sent. Calls: `receive`, `close`, `abort`. */
export interface FinWait1 extends Synchronized {
  readonly name: 'FIN-WAIT-1';
  readonly sender: Sender;
}

/** Our FIN is acknowledged; the peer may go on sending. Calls: `receive`, `close`, `abort`. */
export interface FinWait2 extends Synchronized {
  readonly name: 'FIN-WAIT-2';
  readonly sent: SentAll;
  /** When it is given up, if nobody reads any more; Infinity: never. */
  expiresUs: number;
}

/** The peer's FIN is received. Calls: all. */
export interface CloseWait extends Synchronized {
  readonly name: 'CLOSE-WAIT';
  readonly sender: Sender;
}

/** Both FINs crossed; ours is not acknowledged. Calls: `receive`, `abort`. */
export interface Closing extends Synchronized {
  readonly name: 'CLOSING';
  readonly sender: Sender;
}

/** The peer closed first, our FIN is not acknowledged. Calls: `receive`, `abort`. */
export interface LastAck extends Synchronized {
  readonly name: 'LAST-ACK';
  readonly sender: Sender;
}

/** Waits 2 MSL for what is still on its way. Calls: `receive`, `abort`. */
export interface TimeWait extends Synchronized {
  readonly name: 'TIME-WAIT';
  readonly sent: SentAll;
  expiresUs: number;
}

/** What is left of a sender that has everything acknowledged: SND.UNA = SND.NXT. */
export interface SentAll {
  readonly iss: Seq;
  readonly nxt: Seq;
  readonly maxWnd: number;
  /** What was measured, for observers. */
  readonly rtt: RttEstimator;
}

export type SynchronizedState = Established | FinWait1 | FinWait2 | CloseWait | Closing | LastAck | TimeWait;

export type State = SynSent | SynReceived | SynchronizedState;

/** States that still have a sender. */
export type SendingState = Extract<State, { readonly sender: Sender }>;

export function hasSender(state: State): state is SendingState {
  return 'sender' in state;
}

export function hasReceiver(state: State): state is SynReceived | SynchronizedState {
  return state.name !== 'SYN-SENT';
}
