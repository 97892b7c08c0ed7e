/** A copy of what is known of a connection, for observers. */

import { effectiveSendMss } from './agreement.ts';
import { agreementOf, type Connection } from './connection.ts';
import { hasReceiver, hasSender } from './states.ts';
import type { Totals } from './totals.ts';
import type { TcpInfo } from './types.ts';

export function infoOf(connection: Connection): TcpInfo {
  const { state, local, remote, pathMtu, announcedMss, retransmits } = connection;
  const agreement = agreementOf(state);
  const receiver = hasReceiver(state) ? state.receiver : undefined;
  const sender = hasSender(state) ? state.sender : undefined;
  const { rtt } = 'syn' in state ? state.syn : hasSender(state) ? state.sender : state.sent;
  return {
    state: state.name,
    local: { address: local.address, port: local.port },
    remote: { address: remote.address, port: remote.port },
    ...sendEdges(connection),
    irs: receiver?.irs,
    rcvNxt: receiver?.nxt,
    rcvWnd: receiver?.window ?? 0,
    sendMss:
      agreement === undefined ? announcedMss : effectiveSendMss(agreement, remote.address.family, pathMtu),
    pathMtu,
    sndWindShift: agreement?.sndWindShift,
    rcvWindShift: agreement?.rcvWindShift,
    timestampsEnabled: agreement?.timestamps ?? false,
    sackPermitted: agreement?.sack ?? false,
    ecnEnabled: agreement?.ecn ?? false,
    rtoUs: rtt.rtoUs,
    srttUs: rtt.srttUs,
    rttvarUs: rtt.rttvarUs,
    minRttUs: sender?.loss.minRttUs,
    cwnd: sender?.loss.window.cwnd,
    ssthresh: sender?.loss.window.ssthresh,
    pipe: sender?.loss.pipe ?? 0,
    inFlight: {
      segments: sender?.loss.board.length ?? 0,
      sacked: sender?.loss.board.sackedSegments ?? 0,
      lost: sender?.loss.board.lostSegments ?? 0,
    },
    recovery: sender?.loss.phase,
    reorderingSeen: sender?.loss.reorderingSeen ?? false,
    congestion: sender?.loss.window.name ?? connection.settings.congestion,
    backoffs: 'syn' in state ? state.syn.timeouts : (sender?.timer.expirations ?? 0),
    probes: connection.keepAlive.unanswered + (sender?.windowProbes ?? 0),
    totals: totalsOf(connection.totals),
    lastSentUs: connection.totals.lastSentUs,
    lastReceivedUs: connection.totals.lastReceivedUs,
    lastAckUs: connection.totals.lastAckUs,
    retransmits: { ...retransmits },
    unsentBytes: sender?.unsentBytes ?? ('early' in state ? state.early.length : 0),
    unackedBytes: sender === undefined ? 0 : sender.ring.length - sender.unsentBytes,
    unreadBytes: receiver?.unreadBytes ?? 0,
  };
}

function totalsOf(totals: Totals): TcpInfo['totals'] {
  const { bytesAcked, bytesSent, bytesRetransmitted, bytesReceived, segmentsOut, segmentsIn } = totals;
  return { bytesAcked, bytesSent, bytesRetransmitted, bytesReceived, segmentsOut, segmentsIn };
}

function sendEdges({ state }: Connection): Pick<TcpInfo, 'iss' | 'sndUna' | 'sndNxt' | 'sndWnd'> {
  if ('syn' in state) {
    const { iss, transmissions, firstDataSeq } = state.syn;
    const sndWnd = state.name === 'SYN-RECEIVED' ? state.sndWnd : 0;
    return { iss, sndUna: iss, sndNxt: transmissions > 0 ? firstDataSeq : iss, sndWnd };
  }
  if (hasSender(state)) {
    const { iss, una, max, window } = state.sender;
    return { iss, sndUna: una, sndNxt: max, sndWnd: window.octets };
  }
  const { iss, nxt } = state.sent;
  return { iss, sndUna: nxt, sndNxt: nxt, sndWnd: 0 };
}
