import * as assert from 'uvu/assert';
import { fromConntrack, fromSs } from '../../cli/habits.ts';
import { jsonText } from '../../cli/json-text.ts';
import { spec } from '../harness.ts';
import { cliRun } from './cli-run.ts';

spec('habits of ss and conntrack', (test) => {
  test('options of ss are read as ss means them', () => {
    assert.equal(fromSs(['-tlnp']), ['--listening']);
    assert.equal(fromSs(['-ant']), ['--state', 'all']);
    assert.equal(fromSs(['-lat4']), ['--state', 'all', '--ipv4']);
    assert.equal(fromSs(['-tnoi']), ['--output', 'wide']);
    assert.equal(fromSs(['-t', '-n', '-p']), []);
  });

  test('options that take a value here keep it', () => {
    assert.equal(fromSs(['-p', 'nginx', '-a', '10.0.0.1', '-n', '5', '-o', 'json', '-l', '-s', 'estab']), [
      ...['-p', 'nginx', '-a', '10.0.0.1', '-n', '5', '-o', 'json', '--listening', '-s', 'estab'],
    ]);
    assert.equal(fromSs(['-sestab', '-pnginx', '-n5']), ['-sestab', '-pnginx', '-n5']);
  });

  test('what is called otherwise here is named', async () => {
    const udp = await cliRun(['sockets', '-u']);
    assert.is(udp.code, 2);
    assert.match(udp.stderr, /unknown option -u\n {2}hint: finwait knows TCP only/);
    assert.match((await cliRun(['conntrack', '-D'])).stderr, /hint: write finwait conntrack delete SOURCE/);
    assert.equal(fromConntrack(['-L', '--nat', '--event']), ['--nat', '--events']);
    assert.is((await cliRun(['sockets', '-tlnp', '--limit', '1'])).code, 0);
  });

  test('JSON holds no character that a terminal obeys, and the same data', () => {
    const value = { name: 'a\u202eb\u0007c\u009bd\u2028e\u{e0001}f', text: 'ü→', lines: ['\n'] };
    for (const text of [jsonText(value), jsonText(value, 2)]) {
      assert.not.match(text.replaceAll('\n', ''), /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
      assert.match(text, /a\\u202eb\\u0007c\\u009bd\\u2028e\\udb40\\udc01f/);
      assert.match(text, /ü→/);
      assert.equal(JSON.parse(text), value);
    }
  });
});
