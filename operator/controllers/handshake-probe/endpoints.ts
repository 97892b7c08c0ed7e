/** EndpointSlices by their Service: a Service may have several. */

import type { EndpointsRecord } from './probe-record.ts';

export class Endpoints {
  readonly #byService = new Map<string, Set<EndpointsRecord>>();

  /** Takes a slice's new record for its old one. */
  replace(now: EndpointsRecord | undefined, before: EndpointsRecord | undefined): void {
    if (before !== undefined) {
      const slices = this.#byService.get(before.service);
      slices?.delete(before);
      if (slices?.size === 0) this.#byService.delete(before.service);
    }
    if (now !== undefined) {
      const slices = this.#byService.get(now.service) ?? new Set();
      this.#byService.set(now.service, slices.add(now));
    }
  }

  of(service: string): readonly EndpointsRecord[] {
    return [...(this.#byService.get(service) ?? [])];
  }
}
