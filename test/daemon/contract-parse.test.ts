import fc from 'fast-check';
import * as assert from 'uvu/assert';
import { CONTRACT_LIMITS } from '#contract';
import { parseAcknowledgement, parseReport } from '../../daemon/contract-parse.ts';
import { spec, testSeed } from '../harness.ts';
import { BOOT, sampleProbe, sampleReport } from '../support/report.ts';

const wire = (value: unknown): unknown => JSON.parse(JSON.stringify(value));

function reasonOf(value: unknown): string {
  const parsed = parseReport(value);
  if (parsed.ok) throw new Error('the report was accepted');
  return parsed.reason;
}

const acknowledgement = {
  version: 1,
  boot: BOOT,
  instance: 'c1f6cb21-6a37-4c35-9d0a-6b3a0d5f8e02',
  seq: 7,
  assignment: {
    reportIntervalMs: 1000,
    targets: [
      {
        name: 'db:5432',
        host: 'db',
        port: 5432,
        origin: 'user',
        intervalMs: 5000,
        limits: { connectMs: 10_000, exchangeMs: 10_000, closeMs: 5000 },
        send: 'PING\r\n',
      },
    ],
  },
};

spec('contract: reports', (test) => {
  test('come through the wire unchanged', () => {
    const parsed = parseReport(wire(sampleReport()));
    assert.equal(parsed, { ok: true, value: sampleReport() });
  });

  test('may leave out the tables that could not be read', () => {
    const { sockets: _sockets, conntrack: _conntrack, ...rest } = sampleReport();
    assert.equal(parseReport(wire(rest)), { ok: true, value: rest });
  });

  test('of another version are refused before anything else is looked at', () => {
    assert.is(reasonOf({ version: 2 }), 'version 2 is not known; this side speaks version 1');
  });

  test('keep what is known and drop fields of a newer agent', () => {
    const newer = { ...sampleReport(), tomorrow: { deep: [1] } };
    assert.equal(parseReport(wire(newer)), { ok: true, value: sampleReport() });
  });

  test('may carry a condition with a code of a newer agent, as long as it is one', () => {
    const [known] = sampleReport().conditions;
    const conditions = (code: string) => ({ ...sampleReport(), conditions: [{ ...known, code }] });
    assert.ok(parseReport(conditions('FLUX_CAPACITOR_EMPTY')).ok);
    assert.match(reasonOf(conditions('<script>')), 'conditions[0].code is not an error code');
  });

  test('are refused with the path of what is wrong', () => {
    const probes = [
      sampleProbe(),
      { ...sampleProbe(), segments: [{ ...sampleProbe().segments[0], seq: -1 }] },
    ];
    assert.match(reasonOf({ ...sampleReport(), probes }), 'probes[1].segments[0].seq is not a whole number');
    assert.match(reasonOf({ ...sampleReport(), boot: 'x' }), 'boot is not a UUID');
    assert.match(reasonOf({ ...sampleReport(), seq: 0 }), 'seq is not a whole number from 1');
    const { health: _health, ...healthless } = sampleReport();
    assert.is(reasonOf(healthless), 'health is missing');
    assert.is(reasonOf([]), 'the value is a list, not an object');
    assert.is(reasonOf(null), 'the value is null, not an object');
  });

  test('name five faults and count the rest', () => {
    const states = Array.from({ length: 8 }, () => ({ family: 5, state: 'LISTEN', count: 1 }));
    const sockets = { ...sampleReport().sockets, states };
    assert.match(reasonOf({ ...sampleReport(), sockets }), /(sockets\.states\[\d\][^;]*; ){5}and 3 more$/);
  });

  test('are bounded in every list, text and number', () => {
    const over = (field: object): string => reasonOf(wire({ ...sampleReport(), ...field }));
    const probes = Array.from({ length: CONTRACT_LIMITS.probes + 1 }, () => sampleProbe());
    assert.match(over({ probes }), 'probes has 201 items, at most 200');
    const segments = Array.from({ length: CONTRACT_LIMITS.segments + 1 }, () => sampleProbe().segments[0]);
    assert.match(over({ probes: [{ ...sampleProbe(), segments }] }), 'segments has 65 items, at most 64');
    assert.match(over({ probes: [{ ...sampleProbe(), sentence: 'x'.repeat(513) }] }), 'longer than 512');
    assert.match(over({ toMs: 1e300 }), 'toMs is not a number');
    assert.match(over({ toMs: Number.POSITIVE_INFINITY }), 'toMs is not a number');
    const counters = Object.fromEntries(Array.from({ length: 257 }, (_, i) => [`c${i}`, i]));
    assert.match(over({ health: { ...sampleReport().health, counters } }), 'counters has 257 entries');
  });

  test('with a trace id of zeros are refused, for no trace can have it', () => {
    const probes = [sampleProbe({ id: '0'.repeat(32) })];
    assert.match(reasonOf({ ...sampleReport(), probes }), 'probes[0].id is not 32 hexadecimal digits');
  });

  test('cannot reach a prototype', () => {
    const evil = JSON.stringify(sampleReport()).replace(
      '"tun.dropped":0',
      '"constructor":1,"toString":2,"x":3',
    );
    const parsed = parseReport(
      JSON.parse(evil.replace('{"version"', '{"__proto__":{"polluted":1},"version"')),
    );
    assert.ok(parsed.ok);
    assert.equal(Object.keys(parsed.ok ? parsed.value.health.counters : {}), [
      'constructor',
      'toString',
      'x',
    ]);
    assert.is(({} as Record<string, unknown>).polluted, undefined);
    const own = JSON.parse(JSON.stringify(sampleReport()).replace('"tun.dropped"', '"__proto__"'));
    assert.match(reasonOf(own), 'health.counters has a name that is not allowed');
  });

  test('nested deeper than any stack are refused, not followed', () => {
    const depth = 200_000;
    const deep: unknown = JSON.parse(`${'['.repeat(depth)}${']'.repeat(depth)}`);
    assert.match(reasonOf({ ...sampleReport(), probes: deep }), 'probes[0] is a list, not an object');
  });
});

spec('contract: acknowledgements', (test) => {
  test('come through the wire unchanged', () => {
    assert.equal(parseAcknowledgement(wire(acknowledgement)), { ok: true, value: acknowledgement });
  });

  test('with a target that cannot be probed are refused', () => {
    const [target] = acknowledgement.assignment.targets;
    const bad = {
      ...acknowledgement,
      assignment: { reportIntervalMs: 1000, targets: [{ ...target, port: 0 }] },
    };
    const parsed = parseAcknowledgement(bad);
    assert.match(parsed.ok ? '' : parsed.reason, 'assignment.targets[0].port is not a whole number');
  });
});

/** Every place in a JSON value, as the list of keys that leads there. */
function places(value: unknown, at: readonly string[] = []): (readonly string[])[] {
  if (typeof value !== 'object' || value === null) return [at];
  return [at, ...Object.entries(value).flatMap(([key, item]) => places(item, [...at, key]))];
}

function replaced(value: unknown, at: readonly string[], by: unknown): unknown {
  const [key, ...rest] = at;
  if (key === undefined) return by;
  const copy: Record<string, unknown> | unknown[] = Array.isArray(value)
    ? [...value]
    : { ...(value as object) };
  (copy as Record<string, unknown>)[key] = replaced((value as Record<string, unknown>)[key], rest, by);
  return copy;
}

spec('contract: fuzz', (test) => {
  const hostile = fc.oneof(
    fc.jsonValue(),
    fc.constantFrom<unknown>('', '__proto__', 'constructor', -1, 0.5, 1e308, 2 ** 53, null, [], {}),
    fc.string({ minLength: 500, maxLength: 600 }),
  );
  const accepted = (value: unknown): void => {
    const parsed = parseReport(value);
    if (!parsed.ok) assert.ok(parsed.reason.length > 0);
    // What is accepted is a report: it passes again, unchanged.
    else assert.equal(parseReport(wire(parsed.value)), parsed);
  };

  test('any JSON is answered, never thrown at', () => {
    fc.assert(fc.property(fc.jsonValue(), accepted), { seed: testSeed(), numRuns: 2000 });
  });

  test('a report with one place replaced by anything is refused or still a report', () => {
    const report = wire(sampleReport());
    fc.assert(
      fc.property(fc.constantFrom(...places(report)), hostile, (at, by) =>
        accepted(replaced(report, at, by)),
      ),
      { seed: testSeed(), numRuns: 5000 },
    );
  });

  test('a required place that is missing is refused', () => {
    const report = sampleReport();
    const free =
      /^(sockets|conntrack)$|^sockets,ports$|^conntrack,(activity|sourceNat|divergence)$|PerS$|perS$|toFullMs$|ByBytes$|,(sent|received)$|oldestFlowMs$|(perMinute|exhaustedInMs|keptLong|usableBasis)$|pods(Folded)?$|pod(,containerId)?$|podBy$|,netns$|,unread(,lastReceivedMs)?$|^sockets,(turnover|namespaces|namespacesFolded|counters|memory)$|perSecond$|,pod$|counters,\w+$|,settings(,\w+)?$|TimeoutsS,\w+$|^health,counters,|\d+$|segments,\d+,(ack|from|note)|steps,|hops$|rttUs$|handshakeNetUs$|(mss|windowScale)$/;
    const required = places(report).filter((at) => at.length > 0 && !free.test(at.join(',')));
    assert.ok(required.length > 100);
    for (const at of required) {
      const parsed = parseReport(wire(replaced(report, at, undefined)));
      assert.not.ok(parsed.ok, `${at.join('.')} is required`);
    }
  });
});
