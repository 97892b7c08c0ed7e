/** finwait's own profile: what the RFCs ask for, tuned to tell a peer's faults from ours. */

import { MILLISECOND_US, type Profile, SECOND_US } from '../profile.ts';

export const FINWAIT_PROFILE: Profile = {
  name: 'finwait',
  synLayout: [
    { option: 'mss', align: 0 },
    { option: 'sackPermitted', align: 2, joins: 'timestamps' },
    { option: 'timestamps', align: 2 },
    { option: 'windowScale', align: 1 },
  ],
  layout: [
    { option: 'timestamps', align: 2 },
    { option: 'sack', align: 2 },
  ],
  offerTimestamps: true,
  timestampsRequired: true,
  pawsSlack: 0,
  offerSack: true,
  // The smallest shift that can say the whole receive buffer: little is lost to rounding.
  windowShift: 3,
  // A SYN that asks for ECN is dropped by some old middleboxes: a probe must not find what it caused.
  ecn: 'passive',
  ecnSynRetries: 1,
  repeatsTellReduction: false,
  synOptionRetries: undefined,
  ttl: 64,
  announcesMaxSegment: true,
  defaultMss: { 4: 536, 6: 1220 },
  receiveBufferBytes: 256 * 1024,
  sendBufferBytes: 256 * 1024,
  receiveRule: 'finwait',
  initialRtoUs: SECOND_US,
  rtoAfterLostSynUs: 3 * SECOND_US,
  // RFC 6298 (2.4) asks for 1 s but knows that a finer clock allows less; Linux holds 200 ms.
  minRtoUs: 200 * MILLISECOND_US,
  rtoFloor: 'whole',
  maxRtoUs: 120 * SECOND_US,
  rtoSlopUs: 0,
  synLinearTimeouts: 0,
  // The lowest that Linux waits.
  delayedAckUs: 40 * MILLISECOND_US,
  overrideUs: 200 * MILLISECOND_US,
  pushEachWrite: false,
  fillsWindow: false,
  corkUs: 200 * MILLISECOND_US,
  nagleBySmall: false,
  nagleOffPushes: false,
  windowProbe: 'octet',
  r1Retransmissions: 3,
  synRetries: undefined,
  synAckRetries: undefined,
  retries: undefined,
  // RFC 9293 3.8.3: a SYN is retransmitted for at least 3 minutes (MUST-23), data for at least 100 s (SHLD-11).
  handshakeTimeoutUs: 180 * SECOND_US,
  // The default of OPEN in RFC 9293 3.9.1.1.
  userTimeoutUs: 300 * SECOND_US,
  // RFC 9293 3.8.4 (MUST-28); interval and count are what Linux and FreeBSD agree on, or nearly.
  keepAlive: false,
  keepIdleUs: 7200 * SECOND_US,
  keepIntervalUs: 75 * SECOND_US,
  keepCount: 9,
  // RFC 9293 3.4.2 takes two minutes and calls it an engineering choice; Linux and FreeBSD take 30 s.
  mslUs: 30 * SECOND_US,
  // As Linux and FreeBSD: a peer that never closes must not hold what nobody reads.
  finWait2TimeoutUs: 60 * SECOND_US,
  congestion: 'cubic',
  initialWindowSegments: 10,
  // Who acknowledges whole batches, as we do and whoever joins packets on arrival, would slow two down too much.
  slowStartSegments: 8,
  lossDetection: 'rack',
  challengeRst: true,
  challengeSyn: true,
  // The RFC's own example.
  challengeAcks: 10,
  synCookies: 'pressure',
  icmpMayReset: true,
  icmpFatal: 'hard',
  pathMtuDiscovery: true,
  blackhole: false,
  dropSynFin: true,
  resetEndsTimeWait: false,
  timeWaitSyn: 'challenged',
};
