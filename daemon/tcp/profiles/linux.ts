/** Connections as Linux 6 makes them with its defaults (net.ipv4.tcp_*). */

import { MILLISECOND_US, type Profile, SECOND_US } from '../profile.ts';

export const LINUX_PROFILE: Profile = {
  name: 'linux',
  // tcp_options_write
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
  timestampsRequired: false,
  // TCP_PAWS_WINDOW
  pawsSlack: 1,
  offerSack: true,
  // tcp_rmem[2] of 16 MiB, to which servers are commonly set; 6 MiB makes it 7, 32 MiB 10.
  windowShift: 8,
  ecn: 'passive',
  ecnSynRetries: 0,
  repeatsTellReduction: false,
  synOptionRetries: undefined,
  ttl: 64,
  announcesMaxSegment: true,
  defaultMss: { 4: 536, 6: 1220 },
  // tcp_rmem[1] is 131,072, of which tcp_win_from_space leaves half to the window.
  receiveBufferBytes: 64 * 1024,
  sendBufferBytes: 2_626_560,
  receiveRule: 'linux',
  initialRtoUs: SECOND_US,
  rtoAfterLostSynUs: 3 * SECOND_US,
  minRtoUs: 200 * MILLISECOND_US,
  // tcp_rttvar_us is at least tcp_rto_min.
  rtoFloor: 'variance',
  maxRtoUs: 120 * SECOND_US,
  rtoSlopUs: 0,
  // net.ipv4.tcp_syn_linear_timeouts
  synLinearTimeouts: 4,
  delayedAckUs: 40 * MILLISECOND_US,
  overrideUs: 200 * MILLISECOND_US,
  pushEachWrite: true,
  fillsWindow: true,
  corkUs: 200 * MILLISECOND_US,
  nagleBySmall: true,
  nagleOffPushes: true,
  windowProbe: 'bare',
  r1Retransmissions: 3,
  // tcp_syn_retries, 6, comes on top of tcp_syn_linear_timeouts.
  synRetries: 10,
  synAckRetries: 5,
  retries: undefined,
  handshakeTimeoutUs: Number.POSITIVE_INFINITY,
  // tcp_retries2 = 15 as a time: fifteen doublings from 200 ms, at most 120 s each.
  userTimeoutUs: 924_600 * MILLISECOND_US,
  keepAlive: false,
  keepIdleUs: 7200 * SECOND_US,
  keepIntervalUs: 75 * SECOND_US,
  keepCount: 9,
  mslUs: 30 * SECOND_US,
  // net.ipv4.tcp_fin_timeout
  finWait2TimeoutUs: 60 * SECOND_US,
  congestion: 'cubic',
  initialWindowSegments: 10,
  slowStartSegments: Number.POSITIVE_INFINITY,
  lossDetection: 'rack',
  challengeRst: true,
  challengeSyn: true,
  challengeAcks: 10,
  synCookies: 'pressure',
  icmpMayReset: true,
  icmpFatal: 'all',
  pathMtuDiscovery: true,
  blackhole: false,
  dropSynFin: true,
  resetEndsTimeWait: true,
  timeWaitSyn: 'challenged',
};
