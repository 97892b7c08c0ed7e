/** How many challenge ACKs a connection sends. RFC 5961 section 7 */

import type { Profile } from './profile.ts';

const WINDOW_US = 5_000_000;

/**
 * So many in five seconds, for each connection by itself: a limit that all connections shared would tell one peer
 * what another does (CVE-2016-5696).
 */
export class ChallengeAckLimiter {
  readonly #profile: Profile;
  #windowStartUs = Number.NEGATIVE_INFINITY;
  #sent = 0;

  constructor(profile: Profile) {
    this.#profile = profile;
  }

  /** Whether one more may be sent; if so it counts. */
  allow(nowUs: number): boolean {
    if (nowUs - this.#windowStartUs >= WINDOW_US) {
      this.#windowStartUs = nowUs;
      this.#sent = 0;
    }
    if (this.#sent >= this.#profile.challengeAcks) return false;
    this.#sent += 1;
    return true;
  }
}
