/** What a probe's facts amount to. Pure; the words for it are in sentence.ts. */

import type { Family, ProbeLimits, Steps, Verdict } from '#contract';
import type { IcmpErrorKind } from '../wire/icmp-kinds.ts';

/** Verdicts the prober finds; the others are found before there is a probe. */
export type ProbedVerdict = Exclude<Verdict, 'unreachable' | 'forbidden'>;

/** What ended a probe. */
export type Ending =
  /** Both FINs are acknowledged. */
  | 'closed'
  /** A RST from the peer. */
  | 'reset'
  /** An ICMP error that leaves no hope. */
  | 'icmp'
  /** A limit of waiting. */
  | 'limit'
  /** finwait stopped. */
  | 'aborted';

export interface IcmpFact {
  /** The router or host that sent it. */
  readonly from: string;
  readonly family: Family;
  readonly kind: IcmpErrorKind;
  readonly type: number;
  readonly code: number;
  readonly atUs: number;
}

/** Everything a verdict and its sentence are made of. Times are offsets from the first SYN. */
export interface ProbeFacts {
  readonly remote: { readonly address: string; readonly port: number };
  readonly limits: ProbeLimits;
  readonly steps: Steps;
  /** Whether a request was to be sent. */
  readonly withRequest: boolean;
  /** When the probe was judged. */
  readonly endUs: number;
  readonly synsSent: number;
  readonly finsSent: number;
  readonly requestsSent: number;
  /** SYN-ACKs that came after our ACK. */
  readonly synAckRepeats: number;
  /** An ACK without SYN in answer to our SYN, and which SYN it was (1 is the first). */
  readonly bareAck: { readonly atUs: number; readonly syn: number } | undefined;
  /** A SYN without ACK: the peer opened at the same time. */
  readonly peerSynUs: number | undefined;
  /** The SYN after which the SYN-ACK came. */
  readonly acceptedSyn: number | undefined;
  /** Segments that came before the SYN-ACK and cannot be for our SYN. */
  readonly unacceptable: { readonly segments: number; readonly resets: number };
  /** TTL or hop limit of the peer's first answer, and the hops it is taken to have crossed. */
  readonly ttl: number | undefined;
  readonly hops: number | undefined;
  readonly resetUs: number | undefined;
  /** SYN-ACKs for our SYN from another address or port. */
  readonly wrongSource: { readonly from: string; readonly atUs: number } | undefined;
  /** The first ICMP error, and how many there were. */
  readonly icmp: IcmpFact | undefined;
  readonly icmpErrors: number;
  /** The peer acknowledged, sent or ended anything after the handshake. */
  readonly progressed: boolean;
  /** Its FIN came before ours was sent. */
  readonly peerClosedFirst: boolean;
  readonly handshakeNetUs: number | undefined;
}

/** The verdict on a probe that ended so. */
export function verdictOf(ending: Ending, facts: ProbeFacts): ProbedVerdict {
  if (ending === 'aborted') return 'aborted';
  if (facts.steps.synAckReceivedUs === undefined) return handshakeVerdict(ending, facts);
  if (ending === 'limit' && facts.synAckRepeats > 0 && !facts.progressed) return 'accept-queue-full';
  if (exchangeFailed(facts)) return exchangeVerdict(ending, facts);
  if (ending === 'reset') return 'reset-on-close';
  if (ending !== 'closed') return facts.steps.finAckedUs === undefined ? 'close-unanswered' : 'half-closed';
  return heldBefore(facts) ? 'stale-time-wait' : 'open';
}

/**
 * Whether the bare ACK was the only answer to its SYN. One whose SYN is answered by a SYN-ACK, too, is no challenge
 * of the peer's (RFC 5961 4): whoever holds an old connection answers with one or the other.
 */
function heldBefore({ bareAck, acceptedSyn }: ProbeFacts): boolean {
  return bareAck !== undefined && (acceptedSyn === undefined || acceptedSyn > bareAck.syn);
}

function handshakeVerdict(ending: Ending, facts: ProbeFacts): ProbedVerdict {
  if (ending === 'reset') return 'refused';
  // A bare ACK that nothing followed says so only when the SYN after it had its chance.
  if (facts.bareAck !== undefined && facts.synsSent > facts.bareAck.syn) return 'stale-time-wait';
  if (facts.wrongSource !== undefined) return 'wrong-source';
  return facts.icmp !== undefined && deniesConnection(facts.icmp.kind) ? 'rejected' : 'filtered';
}

function exchangeVerdict(ending: Ending, facts: ProbeFacts): ProbedVerdict {
  if (facts.peerClosedFirst) return 'closed-in-exchange';
  return ending === 'reset' ? 'reset-in-exchange' : 'exchange-timeout';
}

/** Whether there was to be an answer to a request, and none came. */
export function exchangeFailed({ withRequest, steps }: ProbeFacts): boolean {
  return withRequest && steps.firstByteUs === undefined;
}

/** Whether an ICMP error in answer to a SYN says that the connection cannot be, if it lasts. */
export function deniesConnection(kind: IcmpErrorKind): boolean {
  return kind !== 'too-big' && kind !== 'source-quench';
}

/**
 * Whether one such error is enough. The others may pass (a neighbour not yet resolved, a route just changing:
 * RFC 1122 4.2.3.9 calls them soft), so they have to come again for the next SYN.
 */
export function deniesAtOnce(kind: IcmpErrorKind): boolean {
  return (
    kind === 'administratively-prohibited' || kind === 'port-unreachable' || kind === 'protocol-unreachable'
  );
}

const WITHOUT_CONNECTION: ReadonlySet<Verdict> = new Set([
  'refused',
  'filtered',
  'rejected',
  'stale-time-wait',
  'wrong-source',
  'unreachable',
  'forbidden',
]);

/** Whether a client would have had a connection, and so not tried the next address. */
export function connects(verdict: Verdict): boolean {
  return !WITHOUT_CONNECTION.has(verdict);
}
