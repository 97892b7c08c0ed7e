/** The congestion window: slow start, congestion avoidance, reduction. RFC 5681, RFC 6928 */

import { Cubic } from './cubic.ts';
import type { Profile } from './profile.ts';
import type { CongestionName } from './types.ts';

/** What an algorithm decides; the rest is the same for all. Octets and microseconds. */
export interface CongestionAlgorithm {
  readonly name: CongestionName;
  /** What the window grows to in congestion avoidance, when `acked` octets are acknowledged. */
  avoid(cwnd: number, acked: number, mss: number, srttUs: number, nowUs: number): number;
  /** Ssthresh after a loss, or a mark (RFC 3168). */
  reduce(cwnd: number, flight: number, mss: number): number;
  /** The window was not used, or the network is another: what was learnt no longer holds. */
  reset(): void;
}

class NewReno implements CongestionAlgorithm {
  readonly name = 'newreno';

  /** RFC 5681 (3) */
  avoid(cwnd: number, _acked: number, mss: number): number {
    return cwnd + Math.max(1, Math.floor((mss * mss) / cwnd));
  }

  /** RFC 5681 (4) */
  reduce(_cwnd: number, flight: number, mss: number): number {
    return Math.max(Math.floor(flight / 2), 2 * mss);
  }

  reset(): void {}
}

export class CongestionWindow {
  cwnd: number;
  ssthresh = Number.POSITIVE_INFINITY;
  readonly #profile: Profile;
  #algorithm: CongestionAlgorithm;
  #mss: number;

  /** @param synWasLost RFC 5681 3.1: then the initial window is one segment */
  constructor(profile: Profile, name: CongestionName, mss: number, synWasLost: boolean) {
    this.#profile = profile;
    this.#algorithm = algorithmOf(name);
    this.#mss = mss;
    this.cwnd = synWasLost ? mss : this.initial;
  }

  get name(): CongestionName {
    return this.#algorithm.name;
  }

  /** RFC 6928 section 2 */
  get initial(): number {
    const segments = this.#profile.initialWindowSegments;
    return Math.min(segments * this.#mss, Math.max(2 * this.#mss, segments * 1460));
  }

  use(name: CongestionName): void {
    if (name !== this.#algorithm.name) this.#algorithm = algorithmOf(name);
  }

  setMss(mss: number): void {
    this.#mss = mss;
  }

  /** `acked` octets were acknowledged of `flight` that were on their way. */
  onAck(acked: number, flight: number, srttUs: number, nowUs: number): void {
    // A window that is not used says nothing about the path: it does not grow (RFC 7661).
    if (flight < this.cwnd / 2) return;
    if (this.cwnd < this.ssthresh) {
      // RFC 5681 (2), with RFC 3465's count of octets.
      this.cwnd += Math.min(acked, this.#profile.slowStartSegments * this.#mss);
    } else {
      this.cwnd = this.#algorithm.avoid(this.cwnd, acked, this.#mss, srttUs, nowUs);
    }
  }

  /** A loss or a mark: ssthresh is set, the window is the caller's to bring down. */
  reduce(flight: number): void {
    this.ssthresh = this.#algorithm.reduce(this.cwnd, flight, this.#mss);
  }

  /** The retransmission timer expired. RFC 5681 3.1 */
  onTimeout(): void {
    this.cwnd = this.#mss;
  }

  /** The path took nothing for more than an RTO: the window starts over. RFC 5681 4.1 */
  onIdle(): void {
    this.cwnd = Math.min(this.cwnd, this.initial);
    this.#algorithm.reset();
  }

  /** What was taken for a loss was none: as before it. */
  restore(cwnd: number, ssthresh: number): void {
    this.cwnd = Math.max(this.cwnd, cwnd);
    this.ssthresh = ssthresh;
  }
}

function algorithmOf(name: CongestionName): CongestionAlgorithm {
  return name === 'cubic' ? new Cubic() : new NewReno();
}
