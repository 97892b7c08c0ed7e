/** Probe results summed for Prometheus: by target and verdict, and the handshake's time as a histogram. */

import type { MetricFamily, Sample } from '#base/prom-text.ts';
import type { Phase, ProbeResult, Verdict } from '#contract';

/**
 * From a LAN's round trip to the seventh SYN of Linux; an unanswered SYN is sent again after 1, 3, 7, 15 ... s, so
 * the number of retransmissions can be read off the bucket.
 */
const BUCKETS_SECONDS = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 3, 7, 15, 31, 63, 127,
];
/** Targets with series of their own; results of others are summed as `other`. */
const MAX_TARGETS = 100;
const OTHER = 'other';

export class ProbeMetrics {
  /** By target's name, then by verdict. */
  readonly #verdicts = new Map<string, Map<Verdict, number>>();
  readonly #folded = new Set<string>();
  readonly #handshake = new Histogram();
  readonly #handshakeNet = new Histogram();
  readonly #retransmits = { syn: 0, data: 0, fin: 0 };

  add(result: ProbeResult): void {
    const name = this.#seriesOf(result.target.name);
    const counts = this.#verdicts.get(name) ?? new Map<Verdict, number>();
    this.#verdicts.set(name, counts.set(result.verdict, (counts.get(result.verdict) ?? 0) + 1));
    for (const kind of ['syn', 'data', 'fin'] as const) this.#retransmits[kind] += result.retransmits[kind];
    const handshake = result.phases.find(({ name, ok }) => name === 'handshake' && ok);
    if (handshake !== undefined) this.#handshake.add(seconds(handshake));
    if (result.handshakeNetUs !== undefined) this.#handshakeNet.add(result.handshakeNetUs / 1e6);
  }

  families(): MetricFamily[] {
    return [
      {
        name: 'finwait_agent_probes_total',
        type: 'counter',
        help: `Probes ended, by target and verdict; the first ${MAX_TARGETS} targets by name, then "${OTHER}".`,
        samples: [...this.#verdicts].flatMap(([target, counts]) =>
          [...counts].map(([verdict, value]) => ({ labels: { target, verdict }, value })),
        ),
      },
      {
        name: 'finwait_agent_series_folded',
        type: 'gauge',
        help: `Targets whose probes are counted as "${OTHER}".`,
        samples: [{ value: this.#folded.size }],
      },
      {
        name: 'finwait_agent_probe_retransmissions_total',
        type: 'counter',
        help: 'Segments that probes had to send again, by what they carried.',
        samples: Object.entries(this.#retransmits).map(([kind, value]) => ({ labels: { kind }, value })),
      },
      {
        name: 'finwait_agent_handshake_duration_seconds',
        type: 'histogram',
        help: 'Time from the first SYN to the end of the handshake, of probes whose handshake completed.',
        samples: this.#handshake.samples(),
      },
      {
        name: 'finwait_agent_handshake_net_duration_seconds',
        type: 'histogram',
        help: 'The same without the time spent waiting for retransmission timeouts.',
        samples: this.#handshakeNet.samples(),
      },
    ];
  }

  #seriesOf(name: string): string {
    if (this.#verdicts.has(name) || this.#verdicts.size < MAX_TARGETS) return name;
    // The set that says how many are folded is itself bounded.
    if (this.#folded.size < 10 * MAX_TARGETS) this.#folded.add(name);
    return OTHER;
  }
}

function seconds({ fromUs, toUs }: Phase): number {
  return (toUs - fromUs) / 1e6;
}

class Histogram {
  /** One for each bucket alone, the last for what is over all of them. */
  readonly #counts = new Array<number>(BUCKETS_SECONDS.length + 1).fill(0);
  #sum = 0;

  add(value: number): void {
    const found = BUCKETS_SECONDS.findIndex((bound) => value <= bound);
    const index = found < 0 ? BUCKETS_SECONDS.length : found;
    this.#counts[index] = (this.#counts[index] ?? 0) + 1;
    this.#sum += value;
  }

  samples(): Sample[] {
    let count = 0;
    const buckets = this.#counts.map((own, index): Sample => {
      count += own;
      const bound = BUCKETS_SECONDS[index];
      return {
        suffix: '_bucket',
        labels: { le: bound === undefined ? '+Inf' : String(bound) },
        value: count,
      };
    });
    return [...buckets, { suffix: '_sum', value: this.#sum }, { suffix: '_count', value: count }];
  }
}
