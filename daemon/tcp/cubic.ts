/** CUBIC. RFC 9438; windows are counted in segments here, times in seconds, as the RFC does. */

import type { CongestionAlgorithm } from './congestion.ts';

/** RFC 9438 5.1: how fast the window grows, and 4.6: what is left of it after a loss. */
const C = 0.4;
const BETA = 0.7;
/** RFC 9438 4.3: what Reno's additive increase has to be for the same average. */
const ALPHA = (3 * (1 - BETA)) / (1 + BETA);

export class Cubic implements CongestionAlgorithm {
  readonly name = 'cubic';
  /** W_max, and the window before the last reduction. */
  #max = 0;
  #prior = 0;
  /** W_est: the window Reno would have. */
  #estimate = 0;
  #origin = 0;
  #k = 0;
  #epochUs: number | undefined;

  avoid(cwnd: number, acked: number, mss: number, srttUs: number, nowUs: number): number {
    const window = cwnd / mss;
    const segments = acked / mss;
    if (this.#epochUs === undefined) this.#begin(window, nowUs);
    const t = (nowUs - (this.#epochUs ?? nowUs)) / 1e6;
    const reno = this.#estimate >= this.#prior ? 1 : ALPHA;
    this.#estimate += (reno * segments) / window;
    const curve = (seconds: number) => C * (seconds - this.#k) ** 3 + this.#origin;
    // RFC 9438 4.3: where Reno would be faster, be Reno.
    if (curve(t) < this.#estimate) return Math.max(this.#estimate, window) * mss;
    const target = Math.min(Math.max(curve(t + srttUs / 1e6), window), 1.5 * window);
    return cwnd + ((target - window) / window) * segments * mss;
  }

  #begin(window: number, nowUs: number): void {
    this.#epochUs = nowUs;
    this.#estimate = window;
    this.#origin = Math.max(this.#max, window);
    // RFC 9438 (2)
    this.#k = Math.cbrt((this.#origin - window) / C);
  }

  reduce(cwnd: number, _flight: number, mss: number): number {
    const window = cwnd / mss;
    this.#epochUs = undefined;
    // RFC 9438 4.7, fast convergence: a flow that loses its share gives way at once.
    this.#max = window < this.#max ? (window * (1 + BETA)) / 2 : window;
    this.#prior = window;
    return Math.max(Math.floor(cwnd * BETA), 2 * mss);
  }

  reset(): void {
    this.#epochUs = undefined;
  }
}
