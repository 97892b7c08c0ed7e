import fc from 'fast-check';
import * as assert from 'uvu/assert';
import { hostPortText, listenAddress, parseHostPort } from '#base/host-port.ts';
import { spec, testSeed } from '../harness.ts';

const GOOD: Readonly<Record<string, readonly [string, number]>> = {
  'db:5432': ['db', 5432],
  '10.0.0.1:80': ['10.0.0.1', 80],
  'a_b.svc.cluster.local.:1': ['a_b.svc.cluster.local.', 1],
  '[::1]:65535': ['::1', 65_535],
  '[fe80::1%eth0]:22': ['fe80::1%eth0', 22],
  '[::ffff:10.0.0.1]:80': ['::ffff:10.0.0.1', 80],
};

const BAD: Readonly<Record<string, RegExp>> = {
  '': /is not HOST:PORT/,
  db: /is not HOST:PORT/,
  ':80': /no host name/,
  'db:': /is not HOST:PORT/,
  'db:0': /port that is not 1 to 65535/,
  'db:65536': /port that is not 1 to 65535/,
  'db:80x': /is not HOST:PORT/,
  '::1:80': /in brackets/,
  '[db]:80': /no IPv6 address/,
  '[::1]': /in brackets/,
  'a b:80': /no host name/,
  '-db:80': /no host name/,
  'http://db:80': /in brackets|is not HOST:PORT/,
};

spec('HOST:PORT', (test) => {
  test('is read as people write it', () => {
    for (const [text, [host, port]] of Object.entries(GOOD)) {
      assert.equal(parseHostPort(text), { ok: true, value: { host, port } }, text);
      assert.is(hostPortText(host, port), text);
    }
  });

  test('that is none is refused with the reason', () => {
    for (const [text, reason] of Object.entries(BAD)) {
      const parsed = parseHostPort(text);
      assert.not.ok(parsed.ok, text);
      assert.match(parsed.ok ? '' : parsed.reason, reason, text);
    }
  });

  test('to listen on may have port 0', () => {
    assert.equal(listenAddress('127.0.0.1:0'), { ok: true, value: { host: '127.0.0.1', port: 0 } });
  });

  test('never throws, and what it accepts it writes back', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[[\]a-f0-9:.%]*:\d{0,6}$/)), (text) => {
        const parsed = parseHostPort(text);
        if (!parsed.ok) return;
        const { host, port } = parsed.value;
        assert.equal(parseHostPort(hostPortText(host, port)), parsed);
      }),
      { seed: testSeed(), numRuns: 3000 },
    );
  });
});
