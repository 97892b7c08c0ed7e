/** When to acknowledge: at once, after a while, or with the next text. RFC 9293 3.8.6.3, RFC 5681 4.2 */

import type { Seq } from '../wire/seq.ts';
import type { Profile } from './profile.ts';
import type { ReceiveRule } from './receive-rules.ts';
import type { Settings } from './settings.ts';
import { ACK_NOW, type AckDuty, NO_ACK } from './timers.ts';

export interface Arrived {
  /** Octets that RCV.NXT moved on. */
  readonly advanced: number;
  /** Text of the segment. */
  readonly length: number;
  /** It was the next one, and nothing is missing. */
  readonly inOrder: boolean;
  /** The end of the stream is known. */
  readonly ended: boolean;
}

/** The least MSS of a network that is in use. */
const LEAST_MSS = 536;
const LARGEST_FADES = 15 / 16;

export class Acknowledger {
  duty: AckDuty = NO_ACK;
  /** RCV.NXT of the last segment sent: Last.ACK.sent of RFC 7323 4.3. */
  lastSent: Seq;
  /** RFC 3168 6.1.3: a packet was marked, and the peer has not said that it knows. */
  congestionSeen = false;

  readonly #profile: Profile;
  readonly #settings: Settings;
  readonly #rule: ReceiveRule;
  #octets = 0;
  #segments = 0;
  #largest = 1;
  #quickAcks: number;
  /** Text went the other way after text came: an ACK is likely to find a ride. */
  #interactive = false;
  /** When text last came. */
  #textUs = Number.NEGATIVE_INFINITY;

  constructor(profile: Profile, settings: Settings, rule: ReceiveRule, lastSent: Seq) {
    this.#profile = profile;
    this.#settings = settings;
    this.#rule = rule;
    this.lastSent = lastSent;
    this.#quickAcks = rule.quickAcks;
  }

  textArrived({ advanced, length, inOrder, ended }: Arrived, nowUs: number): void {
    // Of late: one large segment long ago does not make all others small.
    this.#largest =
      length >= LEAST_MSS ? Math.max(length, this.#largest * LARGEST_FADES) : Math.max(length, this.#largest);
    this.#octets += advanced;
    this.#segments += 1;
    const waiting = { octets: this.#octets, segments: this.#segments, largest: this.#largest };
    if (length > 0) this.#textUs = nowUs;
    // Linux tcp_fin: the ACK may ride on what the user says last, if this peer ever sent text.
    const hurries = ended && (this.#rule.hurriesFin || !Number.isFinite(this.#textUs));
    if (ended) this.#interactive = true;
    // RFC 5681 4.2: at once for a segment out of order, and for one that fills a gap; else at least for
    // every second full-sized segment (SHLD-19) and within the delay (MUST-40).
    const quick = this.#settings.quickAck || (this.#quickAcks > 0 && !this.#interactive);
    if (!inOrder || hurries || quick || this.#rule.isAckDue(waiting)) this.oweNow();
    else if (this.duty.kind === 'none') {
      this.duty = { kind: 'delayed', atUs: nowUs + this.#profile.delayedAckUs };
    }
  }

  /**
   * ECN bits of an acceptable segment. A mark is told to the peer until it says that it knows. RFC 3168 6.1.3
   *
   * @param marked the packet carried CE
   * @param reduced the segment carried CWR
   */
  noteCongestion(marked: boolean, reduced: boolean): void {
    if (reduced) {
      this.congestionSeen = false;
      this.oweNow();
    }
    if (!marked) return;
    if (!this.congestionSeen && this.#rule.hurriesMarks) this.oweNow();
    this.congestionSeen = true;
  }

  oweNow(): void {
    this.duty = ACK_NOW;
  }

  /** The delay of an ACK is over when its time has come. */
  advance(nowUs: number): void {
    if (this.duty.kind !== 'delayed' || this.duty.atUs > nowUs) return;
    // Nothing came that it could have ridden on.
    this.#interactive = false;
    this.oweNow();
  }

  /** What had arrived came again: an ACK was lost, or is waited for. Linux tcp_enter_quickack_mode */
  cameAgain(): void {
    this.#quickAcks = this.#rule.quickAcks;
    this.#interactive = false;
  }

  /** An acknowledgement of everything up to `nxt` leaves now. */
  sent(nxt: Seq, withText: boolean, nowUs: number): void {
    if (withText && nowUs - this.#textUs < this.#profile.delayedAckUs) this.#interactive = true;
    if (this.#segments > 0 && this.duty.kind !== 'none' && this.#quickAcks > 0) this.#quickAcks -= 1;
    this.duty = NO_ACK;
    this.#octets = 0;
    this.#segments = 0;
    this.lastSent = nxt;
  }
}
