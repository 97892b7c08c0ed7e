/** Round-trip time and retransmission timeout. RFC 6298; the numbers in brackets are its rules. */

import type { Profile } from './profile.ts';

/** Clock granularity G: the engine's clock counts microseconds. */
const GRANULARITY_US = 1;
const K = 4;

export class RttEstimator {
  readonly #profile: Profile;
  #srttUs: number | undefined;
  #rttvarUs = 0;
  #rtoUs: number;
  #doublings = 0;

  constructor(profile: Profile) {
    this.#profile = profile;
    // (2.1) until a measurement has been made
    this.#rtoUs = profile.initialRtoUs;
  }

  get srttUs(): number | undefined {
    return this.#srttUs;
  }

  get rttvarUs(): number | undefined {
    return this.#srttUs === undefined ? undefined : this.#rttvarUs;
  }

  /** The timeout that holds now, back-off included. */
  get rtoUs(): number {
    // (2.5) a maximum may be placed on RTO, at least 60 s
    const measured = this.#srttUs !== undefined || this.#doublings > 0;
    const slopUs = measured ? this.#profile.rtoSlopUs : 0;
    return Math.min(Math.ceil(this.#rtoUs) * 2 ** this.#doublings + slopUs, this.#profile.maxRtoUs);
  }

  /** A measurement of a segment that was sent once (section 3, Karn's algorithm). */
  sample(rttUs: number): void {
    if (this.#srttUs === undefined) {
      // (2.2) the first measurement R
      this.#srttUs = rttUs;
      this.#rttvarUs = rttUs / 2;
    } else {
      // (2.3) RTTVAR first, with the old SRTT: beta = 1/4, alpha = 1/8
      this.#rttvarUs += (Math.abs(this.#srttUs - rttUs) - this.#rttvarUs) / 4;
      this.#srttUs += (rttUs - this.#srttUs) / 8;
    }
    const { minRtoUs, maxRtoUs, rtoFloor } = this.#profile;
    const floorUs = rtoFloor === 'variance' ? minRtoUs : GRANULARITY_US;
    const rtoUs = this.#srttUs + Math.max(floorUs, K * this.#rttvarUs);
    // (2.4) a minimum is placed on RTO
    this.#rtoUs = Math.min(Math.max(rtoUs, minRtoUs), maxRtoUs);
    this.#doublings = 0;
  }

  /** (5.5) RTO <- RTO * 2 */
  backOff(): void {
    // Beyond the maximum there is nothing left to double.
    if (this.rtoUs < this.#profile.maxRtoUs) this.#doublings += 1;
  }

  /** New data was acknowledged: the path works again, and the timeout no longer needs to be backed off. */
  endBackOff(): void {
    this.#doublings = 0;
  }

  /** (5.7) the SYN had to be repeated: data starts with a timeout of 3 s. */
  synWasLost(): void {
    this.#doublings = 0;
    if (this.#srttUs === undefined) this.#rtoUs = this.#profile.rtoAfterLostSynUs;
  }
}
