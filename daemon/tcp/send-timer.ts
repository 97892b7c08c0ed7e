/** When a sender acts without being asked: RFC 6298 section 5 (rules in brackets), RFC 8985, RFC 9293 3.8.3 (R2) */

import type { LossRecovery } from './loss-recovery.ts';
import type { Profile } from './profile.ts';
import type { RttEstimator } from './rtt.ts';
import type { Settings } from './settings.ts';
import { TailLossProbe } from './tail-loss-probe.ts';
import { IDLE, type SendTimer } from './timers.ts';

export class SenderTimer {
  current: SendTimer = IDLE;
  /** Expirations since something was last acknowledged. */
  expirations = 0;
  readonly tail = new TailLossProbe();
  readonly #profile: Profile;
  readonly #settings: Settings;
  readonly #rtt: RttEstimator;
  readonly #loss: LossRecovery;
  readonly #probesTail: boolean;
  /** When the peer last gave a sign that what we have for it will get there. */
  #progressUs = 0;

  constructor(profile: Profile, settings: Settings, rtt: RttEstimator, loss: LossRecovery, sack: boolean) {
    this.#profile = profile;
    this.#settings = settings;
    this.#rtt = rtt;
    this.#loss = loss;
    this.#probesTail = sack && profile.lossDetection === 'rack';
  }

  /** When the clock is needed next: for the timer, or because the peer was silent for too long (R2). */
  get deadlineUs(): number {
    if (this.current.kind === 'idle') return Number.POSITIVE_INFINITY;
    return Math.min(this.current.atUs, this.#progressUs + this.#userTimeoutUs);
  }

  get #userTimeoutUs(): number {
    return this.#settings.userTimeoutUs ?? this.#profile.userTimeoutUs;
  }

  get idle(): boolean {
    return this.current.kind === 'idle';
  }

  get persists(): boolean {
    return this.current.kind === 'persist';
  }

  noteProgress(nowUs: number): void {
    this.#progressUs = nowUs;
  }

  /** MUST-20b: at R2 the connection is given up. */
  isOver(nowUs: number): boolean {
    return nowUs - this.#progressUs >= this.#userTimeoutUs;
  }

  stop(): void {
    this.current = IDLE;
  }

  /** (5.1), (5.3): the timeout starts anew. */
  start(nowUs: number): void {
    this.#set(nowUs + this.#rtt.rtoUs, nowUs);
  }

  /** What comes before the timeout may have changed; the timeout has not. */
  restart(nowUs: number): void {
    const { current } = this;
    if (current.kind === 'idle' || current.kind === 'persist') return;
    this.#set(current.kind === 'retransmit' ? current.atUs : current.timeoutUs, nowUs);
  }

  /** Leaves only the timeout of what comes before it; answers whether that is still to come. */
  putOff(nowUs: number): boolean {
    const { current } = this;
    if (current.kind !== 'reorder' && current.kind !== 'tail-probe') return false;
    this.current = { kind: 'retransmit', atUs: current.timeoutUs };
    return current.timeoutUs > nowUs;
  }

  /** Something waits for the window; Infinity: without end. */
  persist(atUs: number): void {
    this.current = Number.isFinite(atUs) ? { kind: 'persist', atUs } : IDLE;
  }

  /** RFC 8985 7.3: the timeout starts again from the probe. */
  tailProbed(nowUs: number): void {
    this.current = { kind: 'retransmit', atUs: nowUs + this.#rtt.rtoUs };
  }

  #set(timeoutUs: number, nowUs: number): void {
    const { reorderAtUs, board } = this.#loss;
    this.current = { kind: 'retransmit', atUs: timeoutUs };
    if (reorderAtUs !== undefined) {
      this.current = { kind: 'reorder', atUs: Math.min(reorderAtUs, timeoutUs), timeoutUs };
      return;
    }
    if (!this.#probesTail || this.expirations > 0 || this.tail.pending) return;
    if (this.#loss.phase !== 'open' || board.sackedSegments > 0) return;
    // RFC 8985 7.2: where the timeout would come first, the probe takes its place.
    const atUs = Math.min(nowUs + TailLossProbe.timeoutUs(this.#rtt.srttUs, board.length), timeoutUs);
    this.current = { kind: 'tail-probe', atUs, timeoutUs };
  }
}
