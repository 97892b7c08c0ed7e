/** A connection: who it is between, its state record, and what it owes its surroundings. */

import type { Agreement } from './agreement.ts';
import { ChallengeAckLimiter } from './challenge-ack.ts';
import type { Timed } from './deadlines.ts';
import type { Tuple } from './demux.ts';
import { KeepAlive } from './keepalive.ts';
import type { ResetAnswer } from './listen.ts';
import type { MemoryBudget } from './memory-budget.ts';
import type { Profile } from './profile.ts';
import type { Settings } from './settings.ts';
import type { State } from './states.ts';
import { Totals } from './totals.ts';
import type { ConnectionId, EndReason } from './types.ts';

export interface Connection extends Tuple, Timed {
  readonly id: ConnectionId;
  readonly timestampOffset: number;
  /** IPv6: the same for all packets of a connection, RFC 6437. */
  readonly flowLabel: number;
  /** MSS of our SYN. */
  readonly announcedMss: number;
  readonly settings: Settings;
  /** Of all receive buffers of the stack. */
  readonly memory: MemoryBudget;
  readonly challenges: ChallengeAckLimiter;
  readonly keepAlive: KeepAlive;
  readonly retransmits: { syn: number; data: number; fin: number };
  readonly totals: Totals;
  state: State;
  /** The largest packet the path is known to take. */
  pathMtu: number;
  /** What was said of text that was queued before the connection was open. */
  readonly early: { more: boolean; urgentOctets: number };
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
  /** The user called `stopReading`: more text is answered with a RST once our side is closed, too. */
  textRefused: boolean;
}

export function createConnection(
  profile: Profile,
  id: ConnectionId,
  { localIndex, local, remote }: Tuple,
  timestampOffset: number,
  announcedMss: number,
  settings: Settings,
  stack: { readonly memory: MemoryBudget; readonly options: { readonly mtu: number } },
  state: State,
): Connection {
  return {
    localIndex,
    local,
    remote,
    id,
    timestampOffset,
    announcedMss,
    settings,
    memory: stack.memory,
    pathMtu: stack.options.mtu,
    flowLabel: timestampOffset & 0xfffff,
    challenges: new ChallengeAckLimiter(profile),
    keepAlive: new KeepAlive(settings),
    retransmits: { syn: 0, data: 0, fin: 0 },
    totals: new Totals(),
    state,
    early: { more: false, urgentOctets: 0 },
    reset: undefined,
    endedAs: undefined,
    queued: false,
    readableTold: false,
    warned: false,
    readerGone: false,
    textRefused: false,
    deadlineUs: Number.POSITIVE_INFINITY,
    heapIndex: -1,
  };
}

/** Options in force; undefined before the peer's SYN is known. */
export function agreementOf(state: State): Agreement | undefined {
  return state.name === 'SYN-SENT' ? undefined : state.agreement;
}

/** When the connection needs the clock next; Infinity when it does not. */
export function nextDeadlineUs({ state, keepAlive }: Connection): number {
  if (state.name === 'SYN-SENT') return state.syn.deadlineUs;
  const { duty } = state.receiver.acks;
  const ackUs = duty.kind === 'delayed' ? duty.atUs : Number.POSITIVE_INFINITY;
  if (state.name === 'SYN-RECEIVED') return Math.min(state.syn.deadlineUs, ackUs);
  if (state.name === 'TIME-WAIT') return Math.min(state.expiresUs, ackUs);
  if (state.name === 'FIN-WAIT-2') return Math.min(state.expiresUs, keepAlive.deadlineUs(true), ackUs);
  const { sender } = state;
  return Math.min(sender.timer.deadlineUs, keepAlive.deadlineUs(sender.idle), ackUs);
}
