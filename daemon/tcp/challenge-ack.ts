/** How many challenge ACKs a connection sends. RFC 5961 section 7 */

const WINDOW_US = 5_000_000;
const LIMIT = 10;

/**
 * Ten in five seconds, the RFC's own example, for each connection by itself: a limit that all connections
 * shared would tell one peer what another does (CVE-2016-5696).
 */
export class ChallengeAckLimiter {
  #windowStartUs = Number.NEGATIVE_INFINITY;
  #sent = 0;

  /** Whether one more may be sent; if so it counts. */
  allow(nowUs: number): boolean {
    if (nowUs - this.#windowStartUs >= WINDOW_US) {
      this.#windowStartUs = nowUs;
      this.#sent = 0;
    }
    if (this.#sent >= LIMIT) return false;
    this.#sent += 1;
    return true;
  }
}
