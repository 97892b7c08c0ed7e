/** The verdict and its evidence as one sentence for a person. The peer is its subject unless it names another. */

import { latency } from '#base/latency.ts';
import { icmpText } from './icmp-text.ts';
import type { ProbedVerdict, ProbeFacts } from './verdict.ts';

export function sentenceOf(verdict: ProbedVerdict, facts: ProbeFacts): string {
  return SENTENCES[verdict](facts);
}

const SENTENCES: Readonly<Record<ProbedVerdict, (facts: ProbeFacts) => string>> = {
  open: (f) => `${accepted(f)}${banner(f)}${answered(f)} and ${closed(f)}${repeats(f)}`,
  refused: refusedText,
  filtered: filteredText,
  rejected: rejectedText,
  'accept-queue-full': (f) =>
    `repeated its SYN-ACK ${count(f.synAckRepeats)} after our ACK and acknowledged nothing else in ` +
    `${latency(f.endUs)}: the listener's accept queue is full, or our packets are dropped after the SYN`,
  'stale-time-wait': (f) =>
    `answered the SYN with a bare ACK after ${latency(f.bareAck?.atUs ?? f.endUs)}: it still held an old connection of ` +
    `this address and port${f.steps.synAckReceivedUs === undefined ? '' : `; a new one opened ${latency(f.steps.synAckReceivedUs)} after the first SYN`}`,
  'wrong-source': (f) =>
    `answered from another place: the SYN-ACK came from ${f.wrongSource?.from} after ` +
    `${latency(f.wrongSource?.atUs ?? f.endUs)}, so address translation or routing is wrong on the way back`,
  'half-closed': (f) =>
    `acknowledged our FIN after ${since(f.steps.finSentUs, f.steps.finAckedUs)} and kept its own side open for ` +
    `${since(f.steps.finAckedUs, f.endUs)}: the program has not closed its socket (CLOSE-WAIT)`,
  'close-unanswered': (f) =>
    `${accepted(f)}${answered(f)}${f.progressed ? ' and' : ', was not heard of again, and'} did not acknowledge our FIN, sent ${count(f.finsSent)} in ` +
    `${since(f.steps.finSentUs, f.endUs)}${icmpTail(f)}${f.progressed ? '' : UNHEARD}`,
  'reset-on-close': resetOnCloseText,
  'reset-in-exchange': (f) =>
    f.steps.requestSentUs === undefined
      ? `${accepted(f)} and reset it ${since(f.steps.ackSentUs, f.resetUs)} later, before the request was sent`
      : `${accepted(f)} and reset it ${since(f.steps.requestSentUs, f.resetUs)} after the request, without an answer`,
  'closed-in-exchange': (f) =>
    `${accepted(f)} and closed it ${since(f.steps.requestSentUs ?? f.steps.ackSentUs, f.steps.finReceivedUs)} ` +
    `after the ${f.steps.requestSentUs === undefined ? 'handshake' : 'request'}, without an answer`,
  'exchange-timeout': (f) =>
    f.steps.requestAckedUs === undefined
      ? `${accepted(f)} and did not acknowledge the request, sent ${count(f.requestsSent)} in ` +
        `${since(f.steps.requestSentUs, f.endUs)}${icmpTail(f)}${f.progressed ? '' : UNHEARD}`
      : `${accepted(f)}, acknowledged the request after ${since(f.steps.requestSentUs, f.steps.requestAckedUs)} ` +
        `and did not answer it in ${since(f.steps.requestSentUs, f.endUs)}: the program is stuck or slow`,
  aborted: (f) =>
    `finwait stopped after ${latency(f.endUs)}, in the ${phaseName(f)}, before there was a verdict`,
};

/** A SYN-ACK, and then nothing at all. With SYN cookies a full queue does not even repeat the SYN-ACK. */
const UNHEARD = ': packets are dropped after the SYN, or the accept queue is full behind SYN cookies';

function accepted(facts: ProbeFacts): string {
  const { synAckReceivedUs } = facts.steps;
  const net = facts.handshakeNetUs;
  const waited =
    facts.synsSent > 1 && net !== undefined
      ? ` (SYN sent ${count(facts.synsSent)}; ${latency(net)} without the wait to send it again)`
      : '';
  const how = facts.peerSynUs === undefined ? '' : ' by a SYN of its own (simultaneous open)';
  return `accepted the connection${how} in ${since(0, synAckReceivedUs)}${waited}`;
}

function refusedText({ resetUs, endUs, peerSynUs, ttl, hops }: ProbeFacts): string {
  const own = peerSynUs === undefined ? '' : `sent a SYN of its own after ${latency(peerSynUs)} and then `;
  const far = hops === 0 ? 'no router between' : hops === 1 ? '1 hop away' : `${hops} hops away`;
  const seen = ttl === undefined ? '' : ` (TTL ${ttl}: ${far})`;
  return `${own}answered the SYN with RST after ${latency(resetUs ?? endUs)}${seen}: nothing listens on that port, or a firewall resets in its name`;
}

function filteredText(facts: ProbeFacts): string {
  const { synsSent, endUs, peerSynUs, unacceptable, bareAck } = facts;
  const syns = `${times(synsSent, 'SYN')} in ${latency(endUs)}`;
  if (peerSynUs !== undefined) {
    return `sent a SYN of its own after ${latency(peerSynUs)} (simultaneous open) and did not acknowledge ours, ${syns}`;
  }
  if (unacceptable.segments > 0) {
    const { segments, resets } = unacceptable;
    const what = resets === segments ? times(segments, 'RST') : times(segments, 'answer');
    return `gave ${syns} no answer that can be for them: ${what} came that did not acknowledge our SYN, from a middlebox, a forger or a broken TCP`;
  }
  if (bareAck !== undefined) {
    return `answered ${syns} with a bare ACK only, after ${latency(bareAck.atUs)}, and the wait ended before the SYN was repeated`;
  }
  return (
    `did not answer ${syns}: ` +
    "packets are dropped on the way, the host is down, or the listener's accept queue is full"
  );
}

function banner({ withRequest, steps: { ackSentUs, firstByteUs } }: ProbeFacts): string {
  if (withRequest || firstByteUs === undefined) return '';
  return `, spoke first ${since(ackSentUs, Math.max(firstByteUs, ackSentUs ?? 0))} later`;
}

function answered({ withRequest, steps: { requestSentUs, firstByteUs } }: ProbeFacts): string {
  return withRequest ? `, answered the request after ${since(requestSentUs, firstByteUs)}` : '';
}

function closed(facts: ProbeFacts): string {
  const { ackSentUs, finSentUs, finAckedUs, finReceivedUs } = facts.steps;
  if (facts.peerClosedFirst) return `closed it first, ${since(ackSentUs, finReceivedUs)} after the handshake`;
  return `closed it ${since(finSentUs, Math.max(finAckedUs ?? 0, finReceivedUs ?? 0))} after our FIN`;
}

function repeats(facts: ProbeFacts): string {
  const parts = [
    ...(facts.synAckRepeats > 0
      ? [
          `it repeated its SYN-ACK ${count(facts.synAckRepeats)}, so an ACK was lost or its accept queue was full`,
        ]
      : []),
    ...(facts.requestsSent > 1 && facts.withRequest
      ? [`the request was sent ${count(facts.requestsSent)}`]
      : []),
    ...(facts.bareAck !== undefined
      ? [`a bare ACK after ${latency(facts.bareAck.atUs)} was not its answer to the SYN`]
      : []),
    ...(facts.finsSent > 1 ? [`our FIN was sent ${count(facts.finsSent)}`] : []),
  ];
  return parts.map((part) => `; ${part}`).join('');
}

function rejectedText({ icmp, remote, endUs }: ProbeFacts): string {
  if (icmp === undefined) return `ICMP rejected the SYN after ${latency(endUs)}`;
  const who = icmp.from === remote.address ? 'answered the SYN itself' : `did not answer; ${icmp.from} did,`;
  return `${who} with ICMP ${icmpText(icmp)} after ${latency(icmp.atUs)}: ${REJECTIONS[icmp.kind] ?? 'the packet could not be delivered'}`;
}

const REJECTIONS: Readonly<Record<string, string>> = {
  'administratively-prohibited': 'a firewall forbids it',
  'port-unreachable': 'a firewall rule rejects it',
  'protocol-unreachable': 'that host takes no TCP',
  'host-unreachable': 'the host is down, or no one on its network answers for the address',
  'network-unreachable': 'there is no route to that network',
  'time-exceeded': 'the route is a loop, or longer than the TTL',
};

function resetOnCloseText(facts: ProbeFacts): string {
  const { finSentUs, finAckedUs, finReceivedUs, ackSentUs } = facts.steps;
  const reset = facts.resetUs;
  if (finReceivedUs !== undefined) {
    return `${accepted(facts)}${answered(facts)}, sent its FIN and then reset the connection ${since(finReceivedUs, reset)} later`;
  }
  if (finSentUs === undefined) {
    const from = facts.withRequest ? facts.steps.firstByteUs : ackSentUs;
    return `${accepted(facts)}${banner(facts)}${answered(facts)} and reset it ${since(from, reset)} later`;
  }
  const tail = finAckedUs === undefined ? '' : ', which it had acknowledged';
  return `${accepted(facts)}${answered(facts)} and reset it ${since(finSentUs, reset)} after our FIN${tail}, instead of closing`;
}

function icmpTail({ icmp, icmpErrors }: ProbeFacts): string {
  return icmp === undefined ? '' : `; ICMP ${icmpText(icmp)} came from ${icmp.from} ${count(icmpErrors)}`;
}

function phaseName({ steps, withRequest }: ProbeFacts): string {
  if (steps.synAckReceivedUs === undefined) return 'handshake';
  return withRequest && steps.finSentUs === undefined ? 'exchange' : 'close';
}

function since(fromUs: number | undefined, toUs: number | undefined): string {
  return latency(Math.max(0, (toUs ?? 0) - (fromUs ?? 0)));
}

/** `once`, `twice`, `3 times` */
function count(n: number): string {
  return n === 1 ? 'once' : n === 2 ? 'twice' : `${n} times`;
}

/** `1 SYN`, `4 SYNs` */
function times(n: number, what: string): string {
  return `${n} ${what}${n === 1 ? '' : 's'}`;
}
