import * as assert from 'uvu/assert';
import { FinwaitError } from '#base/errors.ts';
import { parseTarget, servicePort } from '../../cli/probe-target.ts';
import { spec } from '../harness.ts';

const PORTS: Readonly<Record<string, number>> = { ssh: 22, http: 80, https: 443, postgresql: 5432 };
const portOf = (name: string) => PORTS[name];

function refusal(text: string): FinwaitError {
  try {
    parseTarget(text, portOf);
  } catch (error) {
    if (error instanceof FinwaitError) return error;
    throw error;
  }
  throw new Error(`${text} was taken`);
}

spec('a probe target', (test) => {
  for (const [text, host, port] of [
    ['10.0.0.1:80', '10.0.0.1', 80],
    ['[::1]:443', '::1', 443],
    ['db.example:5432', 'db.example', 5432],
    ['localhost:ssh', 'localhost', 22],
    ['[::1]:ssh', '::1', 22],
    ['http://web/', 'web', 80],
    ['https://web', 'web', 443],
    ['http://user:pw@web:8080/path?q', 'web', 8080],
    ['http://[fd00::1]/', 'fd00::1', 80],
    ['postgres://db/name', 'db', 5432],
    ['tcp://db:5000', 'db', 5000],
  ] as const) {
    test(`takes ${text}`, () => {
      const target = parseTarget(text, portOf);
      assert.is(target.host, host);
      assert.is(target.port, port);
      assert.is(target.name, host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`);
    });
  }

  for (const [text, message, hint] of [
    ['localhost', /"localhost" is not HOST:PORT/, /localhost:80/],
    ['::1:443', /brackets/, /did you mean \[::1\]:443\?/],
    ['fe80::1', /brackets/, /\[fe80::1\]:80/],
    ['web:0', /has a port that is not 1 to 65535/, /HOST:PORT/],
    ['web:70000', /has a port that is not 1 to 65535/, /HOST:PORT/],
    [':80', /no host name/, /HOST:PORT/],
    ['', /is not HOST:PORT/, /HOST:PORT/],
    ['web:nonsense', /there is no service named "nonsense"/, /number of the port/],
    ['gopher://web/', /the scheme gopher has no port/, /HOST:PORT/],
    ['tcp://web', /the scheme tcp has no port/, /HOST:PORT/],
    ['we b:80', /no host name/, /HOST:PORT/],
    ['[10.0.0.1]:80', /no IPv6 address between the brackets/, /HOST:PORT/],
    ['http://', /no host name/, /HOST:PORT/],
  ] as const) {
    test(`refuses ${JSON.stringify(text)} and says what to write`, () => {
      const error = refusal(text);
      assert.is(error.code, 'TARGET_INVALID');
      assert.match(error.message, message);
      assert.match(error.hint, hint);
    });
  }

  test('a URL is told what of it is not used, and how to send a request', () => {
    const { hint } = parseTarget('http://web/login', portOf);
    assert.match(hint ?? '', /web:80 is probed with plain TCP; http:\/\/ and \/login is not used/);
    assert.match(hint ?? '', /--send 'GET \/ HTTP\/1.1\\r\\nHost: web\\r\\n/);
    assert.is(parseTarget('web:80').hint, undefined);
  });

  test('finds services without a services file', () => {
    assert.is(servicePort('ssh', '/nonexistent'), 22);
    assert.is(servicePort('toString', '/nonexistent'), undefined);
    assert.is(servicePort('nonsense', '/nonexistent'), undefined);
  });

  for (const [text, name] of [
    ['0.0.0.0:80', '127.0.0.1:80'],
    ['[::]:80', '[::1]:80'],
    ['[0:0::0]:80', '[::1]:80'],
  ] as const) {
    test(`${text}, as listeners show it, is probed on loopback and says so`, () => {
      const target = parseTarget(text);
      assert.is(target.name, name);
      assert.match(target.hint ?? '', /no address to connect to/);
    });
  }
});
