/** The ends of the handshake: how a state record becomes the next one. RFC 9293 section 3.5 */

import { type Agreement, agree, effectiveSendMss } from './agreement.ts';
import type { ByteRing } from './byte-ring.ts';
import type { Connection } from './connection.ts';
import type { Profile } from './profile.ts';
import { Receiver } from './receiver.ts';
import type { Segment } from './segment.ts';
import { Sender } from './sender.ts';
import type { CloseWait, Established, FinWait1, LastAck, SynReceived, SynSent } from './states.ts';
import type { SynSender } from './syn-sender.ts';

/** The window of a SYN is never scaled. RFC 7323 2.2 */
export function synWindow(profile: Profile): number {
  return Math.min(profile.receiveBufferBytes, 0xffff);
}

/** SYN-RECEIVED, from the SYN that came: from LISTEN, or crossing our own. */
export function receivedSyn(
  profile: Profile,
  connection: { readonly family: 4 | 6; readonly announcedMss: number },
  segment: Segment,
  from: { readonly syn: SynSender; readonly early: ByteRing; readonly cameFrom: SynReceived['cameFrom'] },
  nowUs: number,
): SynReceived {
  const agreement = agree(profile, connection.family, segment.options);
  return {
    name: 'SYN-RECEIVED',
    syn: from.syn,
    early: from.early,
    agreement,
    receiver: newReceiver(profile, connection.announcedMss, agreement, segment, nowUs),
    sndWnd: segment.window,
    cameFrom: from.cameFrom,
    closing: false,
  };
}

/** ESTABLISHED, from SYN-SENT: the SYN,ACK came. */
export function synAnswered(
  profile: Profile,
  connection: Connection,
  state: SynSent,
  segment: Segment,
  nowUs: number,
): Established {
  const agreement = agree(profile, connection.remote.address.family, segment.options);
  const receiver = newReceiver(profile, connection.announcedMss, agreement, segment, nowUs);
  return established(profile, connection, state, agreement, receiver, segment, segment.window, nowUs);
}

/** ESTABLISHED, from SYN-RECEIVED: our SYN was acknowledged. */
export function synReceivedAnswered(
  profile: Profile,
  connection: Connection,
  state: SynReceived,
  segment: Segment,
  window: number,
  nowUs: number,
): Established {
  const { agreement, receiver } = state;
  return established(profile, connection, state, agreement, receiver, segment, window, nowUs);
}

function newReceiver(
  profile: Profile,
  rmss: number,
  agreement: Agreement,
  segment: Segment,
  nowUs: number,
): Receiver {
  const receiver = new Receiver(profile, agreement, segment.seq, synWindow(profile), rmss);
  const { timestamps } = segment.options;
  if (timestamps !== undefined) receiver.startTimestamps(timestamps.value, nowUs);
  return receiver;
}

function established(
  profile: Profile,
  connection: Connection,
  { syn, early }: { readonly syn: SynSender; readonly early: ByteRing },
  agreement: Agreement,
  receiver: Receiver,
  segment: Segment,
  window: number,
  nowUs: number,
): Established {
  syn.acknowledged(nowUs);
  const sender = new Sender({
    profile,
    iss: syn.iss,
    ring: early,
    rtt: syn.rtt,
    mss: effectiveSendMss(agreement, connection.remote.address.family, connection.pathMtu),
    nagle: connection.nagle,
    synWasLost: syn.transmissions > 1,
    userTimeoutUs: connection.userTimeoutUs ?? profile.userTimeoutUs,
  });
  sender.setWindow(window, { seq: segment.seq, ack: syn.firstDataSeq });
  return { name: 'ESTABLISHED', agreement, receiver, sender };
}

/** The state after our side closes: FIN-WAIT-1 or LAST-ACK. */
export function closeSending(state: Established | CloseWait): FinWait1 | LastAck {
  state.sender.queueFin();
  const { agreement, receiver, sender } = state;
  return state.name === 'ESTABLISHED'
    ? { name: 'FIN-WAIT-1', agreement, receiver, sender }
    : { name: 'LAST-ACK', agreement, receiver, sender };
}
