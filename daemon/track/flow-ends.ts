/** How flows ended: for what reason, as far as conntrack's last word tells, and after how long a life. */

import { CONNTRACK_TCP_STATES } from '../netlink/ctnetlink-attributes.ts';

/** `timeout` of a state: no packet came for as long as the kernel waits in it. */
export const FLOW_END_REASONS = [
  /** Both FINs were acknowledged, and TIME_WAIT ran out. */
  'closed',
  /** A RST came. */
  'reset',
  /** A RST answered the SYN, and nothing else did: nobody listens there. */
  'refused',
  /** No answer to the SYN. */
  'unanswered',
  /** SYN_RECV timed out: the handshake's last ACK never came. */
  'handshake-timeout',
  /** ESTABLISHED timed out: the connection may live on, and what it sends next is of no known flow. */
  'idle-timeout',
  /** One side sent a FIN, the other never did. */
  'half-closed-timeout',
  /** The last ACK of the close never came. */
  'last-ack-timeout',
  /** A new connection took the tuple while its predecessor was in TIME_WAIT or CLOSE. */
  'reused',
  /** Taken away with time left: deleted, flushed, or dropped early because the table was full. */
  'removed',
  /** Gone without the kernel having said so: it tells only the end of flows that began while somebody listened. */
  'unseen',
] as const;
export type FlowEndReason = (typeof FLOW_END_REASONS)[number];

/** Upper bounds of the lifetime buckets but the last, which has none. Milliseconds. */
export const LIFETIME_BOUNDS_MS = [
  100, 1_000, 5_000, 15_000, 60_000, 300_000, 900_000, 3_600_000, 14_400_000, 86_400_000,
] as const;

/** `kernel`: by its time stamps. `seen`: from the event of its begin to that of its end. */
export type LifetimeBasis = 'kernel' | 'seen';

/** The kernel's last word of a flow. */
export interface LastWord {
  /** Index into CONNTRACK_TCP_STATES. */
  readonly state: number;
  readonly replied: boolean;
  /** Time it had left. */
  readonly timeoutS: number;
}

/** What a flow is known by: its tuple and zone, hashed. */
interface Named {
  readonly locatedHash: number;
}

/** The kernel tells of the new flow as soon as its first packet has passed. */
const REUSED_WITHIN_MS = 1_000;
/** Room for ends that wait for a successor, each in a place of its own hash: who comes to one that is taken gets it. */
const PLACES = 4_096;

export class FlowEnds {
  /** Totals, in the order of FLOW_END_REASONS. */
  readonly reasons = new Float64Array(FLOW_END_REASONS.length);
  readonly lifetimes: Readonly<Record<LifetimeBasis, Float64Array>> = {
    kernel: new Float64Array(LIFETIME_BOUNDS_MS.length + 1),
    seen: new Float64Array(LIFETIME_BOUNDS_MS.length + 1),
  };
  readonly sumsMs: Record<LifetimeBasis, number> = { kernel: 0, seen: 0 };
  /** Flows whose begin nobody saw, so that their life has no known length. */
  unknownLifetimes = 0;
  /** Of ends that wait for a successor: the names, and since when; NaN where none waits. */
  readonly #waiting = new Uint32Array(PLACES);
  readonly #waitingMs = new Float64Array(PLACES).fill(Number.NaN);

  /** The kernel told an end. */
  told(word: LastWord, flow: Named, nowMs: number): void {
    const reason = endReason(word);
    if (reason !== 'removed' || !isOver(word)) {
      this.ended(reason);
      return;
    }
    const place = flow.locatedHash % PLACES;
    this.#settle(place);
    this.#waiting[place] = flow.locatedHash;
    this.#waitingMs[place] = nowMs;
  }

  /** A flow has begun. */
  begun(flow: Named): void {
    const place = flow.locatedHash % PLACES;
    if (Number.isNaN(this.#waitingMs[place]) || this.#waiting[place] !== flow.locatedHash) return;
    this.#waitingMs[place] = Number.NaN;
    this.ended('reused');
  }

  /** To be called now and then: what has waited for a successor for long enough had none. */
  settle(nowMs: number): void {
    for (let place = 0; place < PLACES; place++) {
      if (nowMs - (this.#waitingMs[place] as number) >= REUSED_WITHIN_MS) this.#settle(place);
    }
  }

  #settle(place: number): void {
    if (Number.isNaN(this.#waitingMs[place])) return;
    this.#waitingMs[place] = Number.NaN;
    this.ended('removed');
  }

  ended(reason: FlowEndReason): void {
    const at = FLOW_END_REASONS.indexOf(reason);
    this.reasons[at] = (this.reasons[at] as number) + 1;
  }

  lived(ms: number, basis: LifetimeBasis): void {
    let bucket = 0;
    while (bucket < LIFETIME_BOUNDS_MS.length && ms > (LIFETIME_BOUNDS_MS[bucket] as number)) bucket++;
    const counts = this.lifetimes[basis];
    counts[bucket] = (counts[bucket] as number) + 1;
    this.sumsMs[basis] += ms;
  }
}

/** Why a flow ended, from the kernel's last word of it alone: one that was `reused` shows in its successor. */
export function endReason({ state, replied, timeoutS }: LastWord): FlowEndReason {
  const name = CONNTRACK_TCP_STATES[state] ?? 'NONE';
  // A RST that answers a SYN kills the flow at once, in CLOSE; one that is evicted stays in SYN_SENT.
  if (timeoutS > 0) return !replied && name === 'CLOSE' ? 'refused' : 'removed';
  switch (name) {
    case 'TIME_WAIT':
      return 'closed';
    case 'CLOSE':
      return 'reset';
    case 'SYN_SENT':
    case 'SYN_SENT2':
      return 'unanswered';
    case 'SYN_RECV':
      return 'handshake-timeout';
    case 'ESTABLISHED':
      return 'idle-timeout';
    case 'FIN_WAIT':
    case 'CLOSE_WAIT':
      return 'half-closed-timeout';
    case 'LAST_ACK':
      return 'last-ack-timeout';
    default:
      return 'removed';
  }
}

/** Whether a new connection may take the place of a flow that is in this state. nf_conntrack_proto_tcp.c */
function isOver({ state }: LastWord): boolean {
  const name = CONNTRACK_TCP_STATES[state];
  return name === 'TIME_WAIT' || name === 'CLOSE';
}
