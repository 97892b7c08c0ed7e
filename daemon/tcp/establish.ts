/** The ends of the handshake: how a state record becomes the next one. RFC 9293 section 3.5 */

import type { Seq } from '../wire/seq.ts';
import { CWR, ECE } from '../wire/tcp-header.ts';
import { type Agreement, agree, effectiveSendMss, TIMESTAMPS_BYTES } from './agreement.ts';
import type { ByteRing } from './byte-ring.ts';
import type { Connection } from './connection.ts';
import type { Profile } from './profile.ts';
import { receiveRule } from './receive-rules.ts';
import { Receiver } from './receiver.ts';
import { isAck, type Segment } from './segment.ts';
import { SendWindow } from './send-window.ts';
import { Sender } from './sender.ts';
import type { Settings } from './settings.ts';
import type { CloseWait, Established, FinWait1, LastAck, SynReceived, SynSent } from './states.ts';
import type { SynSender } from './syn-sender.ts';

/** What of a connection decides on its windows and segments. */
export type Ends = Pick<Connection, 'announcedMss' | 'settings' | 'remote' | 'pathMtu' | 'memory'>;

/**
 * The window of a SYN is never scaled. RFC 7323 2.2
 *
 * @param mss the largest segment to come
 */
export function synWindow(profile: Profile, settings: Settings, mss: number): number {
  const { receiveBufferBytes } = settings;
  // FreeBSD makes the buffer fit the segments only when the connection is open.
  const fits =
    profile.receiveRule === 'freebsd'
      ? receiveBufferBytes
      : receiveRule(profile).limit(receiveBufferBytes, mss);
  return Math.min(fits, 0xffff);
}

/** The largest segment to come: what was announced, less what goes to options that are always sent. */
export function largestToCome(profile: Profile, announced: number, agreement: Agreement | undefined): number {
  if (agreement === undefined) return announced;
  if (profile.receiveRule === 'freebsd') return Math.min(announced, agreement.peerMss);
  return announced - (agreement.timestamps ? TIMESTAMPS_BYTES : 0);
}

/** RFC 3168 6.1.1: the SYN asks, the SYN,ACK agrees. */
function agreesOnEcn(profile: Profile, segment: Segment): boolean {
  const bits = segment.flags & (ECE | CWR);
  if (isAck(segment)) return profile.ecn === 'on' && bits === ECE;
  return profile.ecn !== 'off' && bits === (ECE | CWR);
}

/** SYN-RECEIVED, from the SYN that came: from LISTEN, or crossing our own. */
export function receivedSyn(
  profile: Profile,
  ends: Ends,
  segment: Segment,
  from: { readonly syn: SynSender; readonly early: ByteRing; readonly cameFrom: SynReceived['cameFrom'] },
  nowUs: number,
): SynReceived {
  const { family } = ends.remote.address;
  const ecn = from.cameFrom.open === 'passive' && agreesOnEcn(profile, segment);
  const agreement = agree(profile, ends.settings, family, segment.options, ecn);
  return {
    name: 'SYN-RECEIVED',
    syn: from.syn,
    early: from.early,
    agreement,
    receiver: newReceiver(profile, ends, agreement, segment, nowUs, from.syn.offered),
    sndWnd: segment.window,
    cameFrom: from.cameFrom,
    closing: false,
  };
}

/** ESTABLISHED, from SYN-SENT: the SYN,ACK came. */
export function synAnswered(
  profile: Profile,
  ends: Ends,
  state: SynSent,
  segment: Segment,
  nowUs: number,
): Established {
  const { family } = ends.remote.address;
  const ecn = state.syn.askedForEcn && agreesOnEcn(profile, segment);
  const agreement = agree(profile, ends.settings, family, segment.options, ecn);
  const receiver = newReceiver(profile, ends, agreement, segment, nowUs, state.syn.offered);
  state.syn.acknowledged(nowUs);
  return established(profile, ends, state.syn, state.early, agreement, receiver, segment, segment.window);
}

/** ESTABLISHED, from SYN-RECEIVED: our SYN was acknowledged. */
export function synReceivedAnswered(
  profile: Profile,
  ends: Ends,
  state: SynReceived,
  segment: Segment,
  window: number,
  nowUs: number,
): Established {
  const { agreement, receiver } = state;
  state.syn.acknowledged(nowUs);
  return established(profile, ends, state.syn, state.early, agreement, receiver, segment, window);
}

/** @param already the window that our SYN offered, if it was sent */
export function newReceiver(
  profile: Profile,
  { announcedMss, settings, memory }: Ends,
  agreement: Agreement,
  segment: { readonly seq: Seq; readonly options: Segment['options'] },
  nowUs: number,
  already?: number,
): Receiver {
  const rmss = largestToCome(profile, announcedMss, agreement);
  const offered = already ?? synWindow(profile, settings, rmss);
  const receiver = new Receiver({ profile, settings, agreement, irs: segment.seq, offered, rmss, memory });
  if (profile.receiveRule === 'freebsd') settings.receiveBufferBytes = receiver.limit;
  const { timestamps } = segment.options;
  if (timestamps !== undefined) receiver.startTimestamps(timestamps.value, nowUs);
  return receiver;
}

export function established(
  profile: Profile,
  { settings, remote, pathMtu }: Ends,
  syn: Pick<SynSender, 'iss' | 'rtt' | 'firstDataSeq' | 'timeouts'>,
  ring: ByteRing,
  agreement: Agreement,
  receiver: Receiver,
  segment: Segment,
  window: number,
): Established {
  const sender = new Sender({
    profile,
    settings,
    iss: syn.iss,
    ring,
    rtt: syn.rtt,
    mss: effectiveSendMss(agreement, remote.address.family, pathMtu),
    sack: agreement.sack,
    ecn: agreement.ecn,
    synWasLost: syn.timeouts > 0,
    window: new SendWindow(window, { seq: segment.seq, ack: syn.firstDataSeq }),
  });
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
