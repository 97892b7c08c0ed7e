/** Sends our SYN (or SYN,ACK) until it is acknowledged. RFC 9293 3.8.3 (MUST-22), RFC 6298 */

import { type Seq, seqAdd } from '../wire/seq.ts';
import type { Profile } from './profile.ts';
import { RttEstimator } from './rtt.ts';
import { IDLE, type SendTimer } from './timers.ts';
import type { Expiry } from './transmission.ts';

export class SynSender {
  /** ISS; SND.UNA until the SYN is acknowledged. */
  readonly iss: Seq;
  readonly rtt: RttEstimator;
  timer: SendTimer = IDLE;
  /** Times it was sent. */
  transmissions = 0;
  /** Times the timer expired. */
  timeouts = 0;
  /** The window that was offered; undefined before it was sent. */
  offered: number | undefined;
  /** It was sent as SYN,ACK. */
  answered = false;
  /** The last one sent asked for ECN. */
  askedForEcn = false;
  /** It is to be sent at the next opportunity. */
  due = true;
  readonly #timeoutUs: number;
  readonly #retries: number | undefined;
  readonly #linearTimeouts: number;
  #firstSentUs = 0;

  /**
   * @param role a SYN of ours, or the answer to one
   * @param timeoutUs when to give up
   */
  constructor(profile: Profile, iss: Seq, role: 'syn' | 'syn-ack', timeoutUs: number) {
    this.iss = iss;
    this.rtt = new RttEstimator(profile);
    this.#timeoutUs = timeoutUs;
    this.#retries = role === 'syn' ? profile.synRetries : profile.synAckRetries;
    this.#linearTimeouts = role === 'syn' ? profile.synLinearTimeouts : 0;
  }

  get deadlineUs(): number {
    if (this.timer.kind === 'idle') return Number.POSITIVE_INFINITY;
    return Math.min(this.timer.atUs, this.#firstSentUs + this.#timeoutUs);
  }

  /** ISS + 1: the only acknowledgement of it, and the number of the first octet after it. */
  get firstDataSeq(): Seq {
    return seqAdd(this.iss, 1);
  }

  /** The SYN leaves now; answers whether it did before. */
  sent(nowUs: number): boolean {
    const again = this.transmissions > 0;
    if (!again) this.#firstSentUs = nowUs;
    this.transmissions += 1;
    this.due = false;
    this.timer = { kind: 'retransmit', atUs: nowUs + this.rtt.rtoUs };
    return again;
  }

  /** It was acknowledged; a SYN that was sent once measures the round trip (Karn's algorithm). */
  acknowledged(nowUs: number): void {
    this.timer = IDLE;
    this.due = false;
    if (this.transmissions === 1) this.rtt.sample(nowUs - this.#firstSentUs);
    else if (this.timeouts > 0) this.rtt.synWasLost();
  }

  advance(nowUs: number): Expiry {
    if (this.deadlineUs > nowUs || this.timer.kind === 'idle') return 'nothing';
    if (nowUs - this.#firstSentUs >= this.#timeoutUs) return 'give-up';
    if (this.#retries !== undefined && this.timeouts >= this.#retries) return 'give-up';
    this.timeouts += 1;
    if (this.timeouts > this.#linearTimeouts) this.rtt.backOff();
    this.due = true;
    // It starts again when the SYN leaves.
    this.timer = IDLE;
    return 'send';
  }
}
