import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { VERDICTS } from '#contract';
import { createFleet } from '../../operator/fleet/fleet.ts';
import type { Overview } from '../../operator/fleet/view.ts';
import {
  ATTR,
  ERROR_TYPE_OF_VERDICT,
  EVENT_ICMP_ERROR,
  EVENT_SEGMENT,
  METRIC,
  SPAN_OF_PHASE,
  SPAN_PROBE,
} from '../../operator/telemetry/semconv.ts';
import { metricFamilies } from '../../operator/web/metrics.ts';
import { spec } from '../harness.ts';
import { ROOT } from '../support/child.ts';
import { sampleProbe, sampleReport } from '../support/report.ts';

const traces = readFileSync(join(ROOT, 'docs/traces.md'), 'utf8');
const metrics = readFileSync(join(ROOT, 'docs/metrics.md'), 'utf8');

spec('operator: docs', (test) => {
  test('name every span, event, attribute and metric, and no metric that is not sent', () => {
    const pages = traces + metrics;
    const names = [
      SPAN_PROBE,
      ...Object.values(SPAN_OF_PHASE),
      EVENT_SEGMENT,
      EVENT_ICMP_ERROR,
      ...Object.values(METRIC),
      ...Object.values(ATTR).filter((name) => !['service.version', ATTR.stepPrefix].includes(name)),
    ];
    for (const name of names) assert.ok(pages.includes(name), `${name} is in no page`);
    const known = new Set<string>([...Object.values(METRIC), ...Object.values(ATTR)]);
    const otlp = section(metrics, '## Over OTLP');
    const named = [...otlp.matchAll(/`((?:finwait|tcp|system)\.[\w.]+)`/g)].map(([, name = '']) => name);
    assert.ok(named.length > 10);
    for (const name of named) {
      assert.ok(known.has(name) || name === 'system.network.connections', `${name} is not sent`);
    }
  });

  test('name every step of a probe', () => {
    for (const step of Object.keys(sampleProbe().steps)) {
      const name = step.replace(/Us$/, '').replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
      assert.ok(traces.includes(`\`${name}\``), `${name} is not in docs/traces.md`);
    }
  });

  test('name every verdict that is an error, with its error type', () => {
    const table = section(traces, '### `error.type`');
    for (const verdict of VERDICTS) {
      const type = ERROR_TYPE_OF_VERDICT[verdict];
      if (type === undefined) continue;
      assert.ok(table.includes(`\`${type}\``), `${type} is not in the table`);
      const own = type === verdict.replaceAll('-', '_');
      assert.ok(own || table.includes(`\`${verdict}\``), `${verdict} is not in the table`);
    }
  });

  test('name every metric of the operator that Prometheus sees, and no other', () => {
    const fleet = createFleet({ reportIntervalMs: 5000, assignmentOf: () => [] });
    fleet.ledger('ferry', sampleReport().boot).receive(1);
    fleet.apply('ferry', sampleReport(), 1000);
    const overview: Overview = {
      generatedAtMs: 1000,
      operator: {
        version: '0.1.0',
        startedAtMs: 0,
        telemetry: { traces: 'off', metrics: 'off', waiting: 0, accepted: 0, lost: 0 },
        counters: {},
        conditions: [],
      },
      nodes: fleet.view(1000),
    };
    const made = metricFamilies(overview).map(({ name }) => name);
    const page = section(metrics, '## The operator');
    const named = new Set([...page.matchAll(/`((?:finwait|process)_\w+)`/g)].map(([, name = '']) => name));
    assert.equal([...named].sort(), made.sort());
  });
});

/** From a heading to the next of its level. */
function section(page: string, heading: string): string {
  const [level = ''] = heading.split(' ', 1);
  const [, after = ''] = page.split(`${heading}\n`, 2);
  return after.split(`\n${level} `, 1)[0] ?? '';
}
