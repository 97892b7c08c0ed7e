/** The instruments beside the nodes' states: handshake durations, and how the export itself fares. */

import type { Meter } from '@opentelemetry/api';
import type { ProbeResult } from '#contract';
import { handshakeDurationUs } from '../fleet/severity.ts';
import type { CollectorHealth } from './collector-health.ts';
import { errorTypeOf } from './probe-trace.ts';
import { ATTR, HANDSHAKE_BUCKETS_S, METRIC } from './semconv.ts';
import type { WaitingRoom } from './waiting-room.ts';

/** Answers what records the handshake of one result. */
export function handshakeHistogram(meter: Meter): (result: ProbeResult, nodeName: string) => void {
  const histogram = meter.createHistogram(METRIC.handshakeDuration, {
    unit: 's',
    description: 'Time from the first SYN to the end of the handshake, or until it was given up',
    advice: { explicitBucketBoundaries: HANDSHAKE_BUCKETS_S },
  });
  return (result, nodeName) => {
    const us = handshakeDurationUs(result);
    if (us === undefined) return;
    const failed = result.phases.some(({ name, ok }) => name === 'handshake' && !ok);
    histogram.record(us / 1e6, {
      [ATTR.node]: nodeName,
      [ATTR.target]: result.target.name,
      [ATTR.networkType]: `ipv${result.family}`,
      ...(failed ? { [ATTR.errorType]: errorTypeOf(result) ?? 'unknown' } : {}),
    });
  };
}

export function observeExport(
  meter: Meter,
  room: Pick<WaitingRoom<unknown>, 'size' | 'accepted' | 'lost'>,
  health: CollectorHealth,
): void {
  meter
    .createObservableUpDownCounter(METRIC.tracesWaiting, {
      unit: '{trace}',
      description: 'Probe traces the collector has not accepted yet',
    })
    .addCallback((to) => to.observe(room.size));
  meter
    .createObservableCounter(METRIC.traces, {
      unit: '{trace}',
      description: 'Probe traces that are done with, by what became of them',
    })
    .addCallback((to) => {
      to.observe(room.accepted, { [ATTR.delivery]: 'accepted' });
      to.observe(room.lost, { [ATTR.delivery]: 'lost' });
    });
  meter
    .createObservableCounter(METRIC.exportFailures, {
      unit: '{export}',
      description: 'Attempts to send that the collector did not accept',
    })
    .addCallback((to) => {
      for (const signal of ['traces', 'metrics'] as const) {
        to.observe(health.failures[signal], { [ATTR.signal]: signal });
      }
    });
}
