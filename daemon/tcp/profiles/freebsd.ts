/** Connections as FreeBSD 14 makes them with its defaults (net.inet.tcp.*). */

import { MILLISECOND_US, type Profile, SECOND_US } from '../profile.ts';

export const FREEBSD_PROFILE: Profile = {
  name: 'freebsd',
  // tcp_addoptions
  synLayout: [
    { option: 'mss', align: 0 },
    { option: 'windowScale', align: 1 },
    { option: 'sackPermitted', align: 0 },
    { option: 'timestamps', align: 2 },
  ],
  layout: [
    { option: 'timestamps', align: 2 },
    { option: 'sack', align: 2 },
  ],
  offerTimestamps: true,
  timestampsRequired: true,
  pawsSlack: 0,
  offerSack: true,
  // The smallest that says kern.ipc.maxsockbuf, 2 MiB.
  windowShift: 6,
  ecn: 'passive',
  ecnSynRetries: 1,
  repeatsTellReduction: true,
  synOptionRetries: undefined,
  ttl: 64,
  announcesMaxSegment: false,
  // net.inet.tcp.mssdflt, v6mssdflt
  defaultMss: { 4: 536, 6: 1220 },
  receiveBufferBytes: 64 * 1024,
  sendBufferBytes: 32 * 1024,
  receiveRule: 'freebsd',
  initialRtoUs: SECOND_US,
  rtoAfterLostSynUs: SECOND_US,
  minRtoUs: 30 * MILLISECOND_US,
  rtoFloor: 'whole',
  // TCPTV_REXMTMAX
  maxRtoUs: 64 * SECOND_US,
  // net.inet.tcp.rexmit_slop
  rtoSlopUs: 200 * MILLISECOND_US,
  synLinearTimeouts: 0,
  delayedAckUs: 40 * MILLISECOND_US,
  overrideUs: 5 * SECOND_US,
  pushEachWrite: false,
  fillsWindow: false,
  corkUs: Number.POSITIVE_INFINITY,
  nagleBySmall: false,
  nagleOffPushes: false,
  windowProbe: 'octet',
  r1Retransmissions: 3,
  // TCP_MAXRXTSHIFT
  synRetries: 12,
  synAckRetries: 3,
  retries: 12,
  // net.inet.tcp.keepinit
  handshakeTimeoutUs: 75 * SECOND_US,
  userTimeoutUs: Number.POSITIVE_INFINITY,
  // net.inet.tcp.always_keepalive
  keepAlive: true,
  keepIdleUs: 7200 * SECOND_US,
  keepIntervalUs: 75 * SECOND_US,
  keepCount: 8,
  mslUs: 30 * SECOND_US,
  // net.inet.tcp.finwait2_timeout
  finWait2TimeoutUs: 60 * SECOND_US,
  congestion: 'cubic',
  initialWindowSegments: 10,
  slowStartSegments: 2,
  lossDetection: 'sack',
  challengeRst: true,
  challengeSyn: true,
  challengeAcks: 10,
  synCookies: 'pressure',
  icmpMayReset: true,
  icmpFatal: 'hard-and-expired',
  pathMtuDiscovery: true,
  blackhole: false,
  dropSynFin: false,
  resetEndsTimeWait: false,
  timeWaitSyn: 'dropped',
};
