/** What the engine counts. Nothing is dropped without one of these. */

import type { StackCounters } from './types.ts';

const DROP_REASONS = [
  'ip-malformed',
  'not-ours',
  'bad-source',
  'fragment',
  'protocol-unknown',
  'checksum',
  'tcp-malformed',
  'options-malformed',
  'icmp-malformed',
  'icmp-unmatched',
  'icmp-ignored',
  'echo-reply',
  'reply-queue-full',
  'stray-unreported',
  'backlog-full',
  'accept-queue-full',
  'syn-cookie-invalid',
  'syn-fin',
  'blackhole',
  'too-many-connections',
  'listen-unexpected',
  'handshake-unexpected',
  'out-of-window',
  'paws',
  'timestamp-missing',
  'rst-out-of-window',
  'rst-not-exact',
  'rst-unacceptable',
  'rst-in-time-wait',
  'syn-in-connection',
  'ack-missing',
  'ack-out-of-range',
  'challenge-limit',
  'receive-buffer-full',
] as const;

/** Why a packet, or part of it, went no further. */
export type DropReason = (typeof DROP_REASONS)[number];

export function createCounters(): StackCounters {
  const dropped: Record<string, number> = {};
  for (const reason of DROP_REASONS) dropped[reason] = 0;
  return {
    packetsIn: 0,
    packetsOut: 0,
    segmentsIn: 0,
    segmentsOut: 0,
    retransmittedSegments: 0,
    resetsSent: 0,
    resetsReceived: 0,
    challengeAcksSent: 0,
    synCookiesSent: 0,
    synCookiesAccepted: 0,
    icmpErrorsIn: 0,
    echoRepliesSent: 0,
    straySegments: 0,
    dropped,
  };
}
