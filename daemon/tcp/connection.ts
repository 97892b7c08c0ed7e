/** A connection: who it is between, its state record, and what it owes its surroundings. */

import type { Agreement } from './agreement.ts';
import { ChallengeAckLimiter } from './challenge-ack.ts';
import type { Timed } from './deadlines.ts';
import type { Tuple } from './demux.ts';
import type { ResetAnswer } from './listen.ts';
import type { PacketPath } from './packets.ts';
import type { State } from './states.ts';
import type { ConnectionId, EndReason } from './types.ts';

export interface Connection extends Tuple, PacketPath, Timed {
  readonly id: ConnectionId;
  readonly timestampOffset: number;
  /** MSS of our SYN. */
  readonly announcedMss: number;
  /** R2 as the user set it; undefined: the profile's. */
  readonly userTimeoutUs: number | undefined;
  readonly nagle: boolean;
  readonly challenges: ChallengeAckLimiter;
  readonly retransmits: { syn: number; data: number; fin: number };
  state: State;
  /** The largest packet the path is known to take. */
  pathMtu: number;
  /** A RST that is to be sent. */
  reset: ResetAnswer | undefined;
  /** It is gone; `ended` is told once its last RST has left. */
  endedAs: EndReason | undefined;
  /** It waits in the queue of those with something to send. */
  queued: boolean;
  /** `readable` was told and nothing read since. */
  readableTold: boolean;
  /** `retransmission-warning` was told since the last progress. */
  warned: boolean;
  /** The user called `close`: nobody will read. */
  readerGone: boolean;
}

export function createConnection(
  start: Tuple &
    PacketPath & { readonly id: ConnectionId; readonly timestampOffset: number } & {
      readonly announcedMss: number;
      readonly userTimeoutUs: number | undefined;
      readonly nagle: boolean;
      readonly pathMtu: number;
    },
  state: State,
): Connection {
  return {
    ...start,
    challenges: new ChallengeAckLimiter(),
    retransmits: { syn: 0, data: 0, fin: 0 },
    state,
    reset: undefined,
    endedAs: undefined,
    queued: false,
    readableTold: false,
    warned: false,
    readerGone: false,
    deadlineUs: Number.POSITIVE_INFINITY,
    heapIndex: -1,
  };
}

/** Options in force; undefined before the peer's SYN is known. */
export function agreementOf(state: State): Agreement | undefined {
  return state.name === 'SYN-SENT' ? undefined : state.agreement;
}

/** When the connection's state needs the clock next; Infinity when it does not. */
export function stateDeadlineUs(state: State): number {
  if (state.name === 'TIME-WAIT') return Math.min(state.expiresUs, ackDeadlineUs(state));
  if ('syn' in state) return state.syn.deadlineUs;
  const ackUs = ackDeadlineUs(state);
  return 'sender' in state ? Math.min(state.sender.deadlineUs, ackUs) : ackUs;
}

function ackDeadlineUs(state: Exclude<State, { readonly name: 'SYN-SENT' }>): number {
  const { ackDuty } = state.receiver;
  return ackDuty.kind === 'delayed' ? ackDuty.atUs : Number.POSITIVE_INFINITY;
}
