/** What each segment of a probe means, in a few words. Pure. */

import { latency } from '#base/latency.ts';
import type { ProbeResult, SegmentRecord, SynOptions } from '#contract';

export function meaningOf(segment: SegmentRecord, index: number, result: ProbeResult): string {
  if (segment.kind === 'icmp') return `${segment.note} from ${segment.from}`;
  if (segment.note !== undefined) return `ignored: ${segment.note}`;
  const parts = segment.direction === 'out' ? sent(segment, index, result) : received(segment, index, result);
  if (segment.window === 0 && !segment.flags.includes('RST')) parts.push('window closed');
  return parts.join(', ');
}

function sent(segment: SegmentRecord, index: number, result: ProbeResult): string[] {
  const { flags, atUs, length } = segment;
  const { steps, options } = result;
  if (flags.includes('SYN')) {
    if (flags.includes('ACK')) return ["SYN and the answer to the peer's SYN (simultaneous open)"];
    return segment.retransmission
      ? [`SYN again: ${unanswered(result, index)}`]
      : ['connect', optionsText(options.offered)];
  }
  if (flags.includes('RST')) return [resetMeaning(index, result)];
  const parts: string[] = [];
  if (atUs === steps.ackSentUs && isFirst(result, index)) parts.push('connection established');
  if (length > 0) parts.push(segment.retransmission ? 'request again' : 'our request');
  if (flags.includes('FIN')) parts.push(segment.retransmission ? 'FIN again' : 'we close our side');
  if (atUs === steps.lastAckSentUs && isFirst(result, index)) parts.push(lastAckText(result));
  return parts.length > 0 ? parts : segment.retransmission ? ['again'] : [];
}

function received(segment: SegmentRecord, index: number, result: ProbeResult): string[] {
  const { flags, atUs, length } = segment;
  const { steps, options } = result;
  if (segment.from !== undefined) return [`from ${segment.from}, not from the target`];
  if (flags.includes('RST')) {
    return [steps.synAckReceivedUs === undefined ? 'refused' : 'reset by the peer'];
  }
  if (flags.includes('SYN')) {
    const offer = options.accepted === null ? [] : [optionsText(options.accepted)];
    if (!flags.includes('ACK')) return ['a SYN of its own: simultaneous open', ...offer];
    if (atUs !== steps.synAckReceivedUs) return ['SYN-ACK again: our ACK did not count'];
    return ['accepted', ...offer, ...(flags.includes('FIN') ? ['the peer closes its side at once'] : [])];
  }
  if (steps.synAckReceivedUs === undefined || atUs < steps.synAckReceivedUs) {
    return result.verdict === 'stale-time-wait'
      ? ['an ACK without SYN: the peer holds an old connection']
      : ['an ACK without SYN: no answer to ours'];
  }
  const parts: string[] = [];
  if (atUs === steps.synAckReceivedUs && isFirst(result, index)) parts.push('our SYN acknowledged');
  if (length > 0) parts.push(dataMeaning(segment, index, result));
  if (atUs === steps.requestAckedUs && isFirst(result, index)) parts.push('request acknowledged');
  if (atUs === steps.finAckedUs && isFirst(result, index)) parts.push('our FIN acknowledged');
  if (flags.includes('FIN')) parts.push(segment.retransmission ? 'FIN again' : 'the peer closes its side');
  return parts.length > 0 ? parts : segment.retransmission ? ['again'] : [];
}

function dataMeaning({ atUs, retransmission }: SegmentRecord, index: number, result: ProbeResult): string {
  if (retransmission) return 'data again';
  if (atUs !== result.steps.firstByteUs || !isFirst(result, index)) return 'data';
  return result.phases.some(({ name }) => name === 'exchange')
    ? 'first byte of the answer'
    : 'the peer speaks first';
}

function resetMeaning(index: number, result: ProbeResult): string {
  const answered = result.segments[index - 1];
  if (result.steps.synAckReceivedUs === undefined && answered?.flags.join() === 'ACK') {
    return 'RST for the old connection';
  }
  return 'we give up and reset it, so that the peer holds nothing';
}

/** The ACK of the peer's FIN ends the connection only when our own FIN was sent before. */
function lastAckText({ segments }: ProbeResult): string {
  const first = segments.find(({ flags }) => flags.includes('FIN'));
  return first?.direction === 'out' ? 'closed on both sides' : "the peer's FIN acknowledged";
}

/** How long nothing had come for the SYN before this one. */
function unanswered(result: ProbeResult, index: number): string {
  const before = result.segments
    .slice(0, index)
    .findLast(({ direction, flags }) => direction === 'out' && flags.includes('SYN'));
  const segment = result.segments[index];
  if (before === undefined || segment === undefined) return 'no answer';
  const heard = result.segments
    .slice(result.segments.indexOf(before), index)
    .some(({ direction, from }) => direction === 'in' && from === undefined);
  return `${heard ? 'no answer that counts' : 'no answer'} for ${latency(segment.atUs - before.atUs)}`;
}

/** Whether no earlier segment of the same direction crossed in the same microsecond, or is of the same kind. */
function isFirst({ segments }: ProbeResult, index: number): boolean {
  const own = segments[index];
  return !segments
    .slice(0, index)
    .some(
      (other) =>
        other.direction === own?.direction &&
        other.kind === 'tcp' &&
        other.from === undefined &&
        (other.atUs === own.atUs || (own.flags.includes('SYN') && other.flags.includes('SYN'))),
    );
}

/** `mss 1460, wscale 7, sack, timestamps` */
export function optionsText({ mss, windowScale, sackPermitted, timestamps }: SynOptions): string {
  const parts = [
    ...(mss === undefined ? [] : [`mss ${mss}`]),
    ...(windowScale === undefined ? [] : [`wscale ${windowScale}`]),
    ...(sackPermitted ? ['sack'] : []),
    ...(timestamps ? ['timestamps'] : []),
  ];
  return parts.length === 0 ? 'no options' : parts.join(', ');
}
