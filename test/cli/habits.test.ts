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

  test('filters of ss are read', async () => {
    for (const [line, read] of [
      ['state close-wait', '--state close-wait'],
      ['-tan state time-wait state estab', '--state time-wait --state estab'],
      ['-Htn exclude time-wait', '--no-header --exclude time-wait'],
      ['-t dst 10.0.0.0/8', '--peer 10.0.0.0/8'],
      ['dst 10.0.0.1:443', '--peer 10.0.0.1 --peer-port 443'],
      ['src [::1]:80', '--local [::1] --local-port 80'],
      ['dst fd00::1', '--peer fd00::1'],
      ['dst :443', '--peer-port 443'],
      ['dst = 10.0.0.1', '--peer 10.0.0.1'],
      ['( dport = :443 and sport == 22 )', '--peer-port 443 --local-port 22'],
      ['sport 22 --json', '--local-port 22 --json'],
      ['--process state', '--process state'],
      ['-N web -p', '--netns web'],
    ] as const) {
      assert.is(fromSs(line.split(' ')).join(' '), read, line);
    }
    assert.equal(fromSs(['-tn', '( dport = :443 )']), ['--peer-port', '443']);
    for (const line of ['dport = :https', 'dport gt :1000', 'dst 10.0.0.1 or dst 10.0.0.2']) {
      assert.throws(() => fromSs(line.split(' ')), /unexpected/, line);
    }
    assert.is((await cliRun(['sockets', 'state', 'listening', '--json'])).code, 0);
  });

  test('options of conntrack are read', () => {
    for (const [line, read] of [
      ['-L -p tcp --state TIME_WAIT', '--state TIME_WAIT'],
      ['-L --proto tcp -s 10.0.0.1 -d 10.0.0.2', '--source 10.0.0.1 -d 10.0.0.2'],
      ['-s syn-sent', '-s syn-sent'],
      ['--src 10.0.0.0/8 --dport 443', '--source 10.0.0.0/8 --destination-port 443'],
      ['--orig-port-src 1 --orig-dst ::1 -m 7 -w 2', '--source-port 1 --destination ::1 --mark 7 --zone 2'],
      ['-f ipv6 -u UNREPLIED', '--ipv6 --unreplied'],
      ['-E -e NEW,DESTROY', '-E --only begun,ended'],
    ] as const) {
      assert.is(fromConntrack(line.split(' ')).join(' '), read, line);
    }
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
