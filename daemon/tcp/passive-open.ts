/** A segment for a listener: connections that others open. RFC 9293 section 3.10.7.2, RFC 4987 */

import { addressKind } from '../wire/address.ts';
import { addressBytes, type IpHeader } from '../wire/ip.ts';
import { type Seq, seqAdd, seqLt } from '../wire/seq.ts';
import { ACK, CWR, ECE, SYN } from '../wire/tcp-header.ts';
import { NO_OPTIONS } from '../wire/tcp-options.ts';
import { agree } from './agreement.ts';
import { ByteRing } from './byte-ring.ts';
import { established, largestToCome, newReceiver, receivedSyn, synWindow } from './establish.ts';
import { onSegmentInListen } from './listen.ts';
import { isAcceptQueueFull, isSynQueueFull, type Listener } from './listener.ts';
import type { Maker } from './open.ts';
import type { Registry } from './registry.ts';
import { RttEstimator } from './rtt.ts';
import { isFin, type Segment, viewOf } from './segment.ts';
import { segmentArrives } from './segment-arrives.ts';
import { createSettings } from './settings.ts';
import type { Strangers } from './strangers.ts';
import { type CookieOptions, SynCookies } from './syn-cookies.ts';
import { SynSender } from './syn-sender.ts';
import type { SocketAddress } from './types.ts';

/** Who a segment for a listener is from, and to which of our addresses it came. */
export interface Ends {
  readonly local: SocketAddress;
  readonly remote: SocketAddress;
  readonly localIndex: number;
}

/** How long ACKs that may be cookies are looked at after the last one was sent. */
const COOKIE_LIFE_US = 180_000_000;

export class PassiveOpener {
  readonly #registry: Registry;
  readonly #maker: Maker;
  readonly #strangers: Strangers;
  readonly #cookies: SynCookies;
  #lastCookieUs = Number.NEGATIVE_INFINITY;

  constructor(registry: Registry, maker: Maker, strangers: Strangers) {
    this.#registry = registry;
    this.#maker = maker;
    this.#strangers = strangers;
    this.#cookies = new SynCookies(maker.options.random);
  }

  /** Whether there is room for the answer to this SYN; a peer that was here before has room of its own. */
  mayAnswer(listener: Listener, packet: Uint8Array, ip: IpHeader): boolean {
    if (!this.#isPressed(listener)) return true;
    const known = this.#registry.knownPeers.has(packet, ip.source, addressBytes(ip.family));
    return this.#strangers.hasRoom(known);
  }

  #isPressed(listener: Listener): boolean {
    return isSynQueueFull(listener) || this.#maker.isFull;
  }

  /**
   * @param minimumIss beyond what a connection in TIME-WAIT used that this one takes the place of
   */
  arrives(
    listener: Listener,
    segment: Segment,
    ends: Ends,
    minimumIss: Seq | undefined,
    nowUs: number,
  ): void {
    const disposition = onSegmentInListen(segment);
    switch (disposition.kind) {
      case 'drop':
        return this.#registry.drop(disposition.reason);
      case 'reset-peer':
        if (this.#takeCookie(listener, segment, ends, nowUs)) return;
        return this.#strangers.segment(segment, ends.local, ends.remote, 0, nowUs);
      case 'enter-syn-received':
        return this.#syn(listener, segment, ends, minimumIss, nowUs);
    }
  }

  #syn(listener: Listener, segment: Segment, ends: Ends, minimumIss: Seq | undefined, nowUs: number): void {
    const registry = this.#registry;
    const { profile } = registry;
    // MUST-63: nobody on the other side of a link has a loopback address.
    if (addressKind(ends.remote.address) === 'loopback') return registry.drop('bad-source');
    if (isFin(segment) && profile.dropSynFin) return registry.drop('syn-fin');
    if (isAcceptQueueFull(listener)) return registry.drop('accept-queue-full');
    const pressed = this.#isPressed(listener);
    if (profile.synCookies === 'always' || (pressed && profile.synCookies === 'pressure')) {
      return this.#answerWithCookie(listener, segment, ends, nowUs);
    }
    if (isSynQueueFull(listener)) return registry.drop('backlog-full');
    if (this.#maker.isFull) return registry.drop('too-many-connections');

    const secrets = this.#maker.secretsOf(ends.local, ends.remote, nowUs);
    // RFC 9293 3.6.1 (MAY-2): beyond what the connection in TIME-WAIT used.
    const iss =
      minimumIss !== undefined && seqLt(secrets.iss, minimumIss) ? seqAdd(minimumIss, 1) : secrets.iss;
    const settings = createSettings(profile, listener.settings);
    const announcedMss = this.#maker.announcedMss(ends.remote, settings);
    const { mtu: pathMtu } = this.#maker.options;
    const timeoutUs = settings.handshakeTimeoutUs ?? profile.handshakeTimeoutUs;
    const state = receivedSyn(
      profile,
      { announcedMss, settings, remote: ends.remote, pathMtu, memory: this.#maker.memory },
      segment,
      {
        syn: new SynSender(profile, iss, 'syn-ack', timeoutUs),
        early: new ByteRing(settings.sendBufferBytes),
        cameFrom: { open: 'passive', listener: listener.id },
      },
      nowUs,
    );
    const connection = this.#maker.connection(ends, secrets.timestampOffset, settings, state);
    listener.halfOpen.add(connection);
    registry.add(connection, 'LISTEN', nowUs);
    if (!registry.tellsSegments) return;
    const view = viewOf(segment, false);
    registry.tell({ kind: 'segment', id: connection.id, direction: 'in', atUs: nowUs, segment: view });
  }

  /** RFC 4987 3.6: SYN,ACK without a connection. */
  #answerWithCookie(listener: Listener, segment: Segment, ends: Ends, nowUs: number): void {
    const registry = this.#registry;
    const { profile } = registry;
    const { family, bytes } = ends.remote.address;
    const ecn = profile.ecn !== 'off' && (segment.flags & (ECE | CWR)) === (ECE | CWR);
    const agreement = agree(profile, listener.settings, family, segment.options, ecn);
    const mss = this.#maker.announcedMss(ends.remote, listener.settings);
    const { timestamps: peerStamps } = segment.options;
    const usesTimestamps = agreement.timestamps && peerStamps !== undefined;
    const timestamps = usesTimestamps
      ? {
          value: SynCookies.timestamp(this.#clockOf(ends, nowUs), segment.options, ecn),
          echo: peerStamps.value,
        }
      : undefined;
    const offered = listener.settings.offerOptions;
    const sent = this.#strangers.answer(
      { ...ends, ttl: listener.settings.ttl },
      listener.settings.trafficClass & ~3,
      {
        seq: this.#cookies.iss(ends.local, ends.remote, segment.seq, agreement.peerMss, nowUs),
        ack: seqAdd(segment.seq, 1),
        // Without timestamps there is no room to remember ECN.
        flags: SYN | ACK | (ecn && usesTimestamps ? ECE : 0),
        window: synWindow(profile, listener.settings, largestToCome(profile, mss, agreement)),
        options: {
          mss: offered ? mss : undefined,
          windowScale: usesTimestamps ? agreement.rcvWindShift : undefined,
          sackPermitted: usesTimestamps && agreement.sack,
          timestamps,
          malformed: false,
          sack: undefined,
        },
        layout: profile.synLayout,
      },
      registry.knownPeers.has(bytes, 0, bytes.length),
    );
    if (!sent) return;
    registry.counters.synCookiesSent += 1;
    this.#lastCookieUs = nowUs;
  }

  /** The clock of this connection's timestamps in milliseconds. */
  #clockOf({ local, remote }: Ends, nowUs: number): number {
    const { timestampOffset } = this.#maker.secretsOf(local, remote, nowUs);
    return (Math.floor(nowUs / 1000) + timestampOffset) >>> 0;
  }

  /** The ACK of a cookie: the connection is there at once. False when it is none. */
  #takeCookie(listener: Listener, segment: Segment, ends: Ends, nowUs: number): boolean {
    if (nowUs - this.#lastCookieUs > COOKIE_LIFE_US) return false;
    const registry = this.#registry;
    const irs = seqAdd(segment.seq, -1);
    const iss = seqAdd(segment.ack, -1);
    const { timestamps } = segment.options;
    const cookie = this.#cookies.open(ends.local, ends.remote, { irs, iss, echo: timestamps?.echo }, nowUs);
    if (cookie === undefined) {
      registry.drop('syn-cookie-invalid');
      return false;
    }
    if (isAcceptQueueFull(listener) || this.#maker.isFull) {
      registry.drop('accept-queue-full');
      return true;
    }
    registry.counters.synCookiesAccepted += 1;
    this.#establish(listener, segment, ends, { irs, iss, cookie }, nowUs);
    return true;
  }

  #establish(
    listener: Listener,
    segment: Segment,
    ends: Ends,
    { irs, iss, cookie }: { readonly irs: Seq; readonly iss: Seq; readonly cookie: CookieOptions },
    nowUs: number,
  ): void {
    const registry = this.#registry;
    const { profile } = registry;
    const { timestamps } = segment.options;
    const { mss, windowScale, sackPermitted, ecn } = cookie;
    const peer = { ...NO_OPTIONS, mss, windowScale, sackPermitted, timestamps };
    const settings = createSettings(profile, listener.settings);
    const agreement = agree(profile, settings, ends.remote.address.family, peer, ecn);
    const { mtu: pathMtu } = this.#maker.options;
    const announcedMss = this.#maker.announcedMss(ends.remote, settings);
    const { memory } = this.#maker;
    const about = { announcedMss, settings, remote: ends.remote, pathMtu, memory };
    const receiver = newReceiver(profile, about, agreement, { seq: irs, options: peer }, nowUs);
    const syn = { iss, firstDataSeq: seqAdd(iss, 1), timeouts: 0, rtt: new RttEstimator(profile) };
    const ring = new ByteRing(settings.sendBufferBytes);
    const window = segment.window * 2 ** (agreement.sndWindShift ?? 0);
    const state = established(profile, about, syn, ring, agreement, receiver, segment, window);
    const { timestampOffset } = this.#maker.secretsOf(ends.local, ends.remote, nowUs);
    const connection = this.#maker.connection(ends, timestampOffset, settings, state);
    registry.add(connection, 'LISTEN', nowUs);
    registry.wait(connection, listener, nowUs);
    segmentArrives(registry, connection, segment, nowUs);
    registry.touch(connection);
  }
}
