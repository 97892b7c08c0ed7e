import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { simulationLines } from '../../cli/simulate-ladder.ts';
import { plotLines } from '../../cli/simulate-plot.ts';
import { percentilesOf } from '../../cli/simulate-runs.ts';
import { LEGS } from '../../daemon/netsim/legs.ts';
import type { Played } from '../../daemon/netsim/play.ts';
import type { ScenarioName } from '../../daemon/netsim/scenarios.ts';
import { SCENARIOS } from '../../daemon/netsim/scenarios.ts';
import type { Moment, SentSegment } from '../../daemon/netsim/transcript.ts';
import { ACK, FIN, SYN } from '../../daemon/wire/tcp-header.ts';
import { spec } from '../harness.ts';
import { runProgram } from '../support/child.ts';
import { makeTempDir } from '../support/temp-dir.ts';
import { cliRun } from './cli-run.ts';

const NAMES = Object.keys(SCENARIOS) as ScenarioName[];

interface Simulated extends Played {
  readonly moments: readonly (Omit<Moment, 'segment'> & {
    readonly segment?: {
      readonly flags: readonly string[];
      readonly from: string;
      readonly seq: number;
      readonly ack?: number;
      readonly length: number;
      readonly window: number;
      readonly fate: string;
      readonly retransmission: boolean;
      readonly reason?: string;
      readonly note?: string;
    };
  })[];
}

async function simulated(...args: readonly string[]): Promise<Simulated> {
  const { code, stdout, stderr } = await cliRun(['simulate', ...args, '--json']);
  assert.is(code, 0, stderr);
  return JSON.parse(stdout);
}

function statesOf({ moments }: Simulated, side: 'client' | 'server'): string[] {
  return moments.flatMap((moment) => moment[side] ?? []);
}

/** Times and reasons of what was sent again, or to ask. */
function reasonsOf({ moments }: Simulated): [ms: number, reason: string][] {
  return moments.flatMap(({ atUs, segment }) =>
    segment?.reason === undefined ? [] : [[atUs / 1000, segment.reason] as [number, string]],
  );
}

function countPackets(capture: Buffer): number {
  let packets = 0;
  for (let at = 24; at < capture.length; at += 16 + capture.readUInt32LE(at + 8)) packets += 1;
  return packets;
}

function segment(known: Pick<SentSegment, 'flags'> & Partial<SentSegment>): SentSegment {
  return {
    from: 'client',
    seq: 0,
    ack: undefined,
    length: 0,
    window: 65_535,
    retransmission: false,
    fate: 'delivered',
    ...known,
  };
}

spec('finwait simulate', (test) => {
  test('plays each scenario to its end, through the states of RFC 9293', async () => {
    const seen = new Set<string>();
    for (const name of NAMES) {
      const run = await simulated(name);
      assert.ok(run.finished, name);
      for (const state of [...statesOf(run, 'client'), ...statesOf(run, 'server')]) seen.add(state);
    }
    for (const state of ['SYN-SENT', 'SYN-RECEIVED', 'ESTABLISHED', 'FIN-WAIT-1', 'FIN-WAIT-2', 'CLOSING']) {
      assert.ok(seen.has(state), state);
    }
    for (const state of ['CLOSE-WAIT', 'LAST-ACK', 'TIME-WAIT', 'CLOSED']) assert.ok(seen.has(state), state);
  });

  test('shows what a scenario is named for', async () => {
    const path = (run: Simulated, side: 'client' | 'server') => statesOf(run, side).join(' ');
    const together = await simulated('simultaneous-close');
    for (const side of ['client', 'server'] as const)
      assert.match(path(together, side), /FIN-WAIT-1 CLOSING TIME-WAIT/);
    const open = await simulated('simultaneous-open');
    for (const side of ['client', 'server'] as const)
      assert.match(path(open, side), /^SYN-SENT SYN-RECEIVED ESTABLISHED/);
    assert.is((await simulated('half-close')).received.client, 3000);
    assert.is((await simulated('transfer', '--bytes', '12345')).received.server, 12_345);
    assert.is((await simulated('refused')).ends.client, 'refused');
    const reset = await simulated('reset');
    assert.equal([reset.received.server, reset.ends], [1000, { client: 'aborted', server: 'reset' }]);
    assert.is((await simulated('zero-window', '--bytes', '1')).ends.server, 'closed');
    const shut = await cliRun(['simulate', 'zero-window', '--json']);
    const moments: { atUs: number; segment?: { from: string; window: number; length: number } }[] =
      JSON.parse(shut.stdout).moments;
    assert.ok(moments.some(({ segment }) => segment?.from === 'server' && segment.window === 0));
    assert.ok(
      moments.some(({ atUs, segment }) => atUs > 1e6 && atUs < 5e6 && segment?.from === 'client'),
      'the closed window is probed',
    );
  });

  test('tells why something is sent again: timeout, loss that was found, or a probe of the tail', async () => {
    const path = async (name: string, ...args: string[]) => reasonsOf(await simulated(name, ...args));
    // The client is open at 20 ms. In place of the timeout of 200 ms comes a probe; from there it is 200 ms, then 400.
    assert.equal(await path('timeout'), [
      [220, 'tail-probe'],
      [420, 'timeout'],
      [820, 'timeout'],
    ]);
    assert.equal(await path('fast-retransmit'), [[40, 'fast-retransmit']]);
    // RFC 8985 7.2: after two round trips; what the probe tells is acted on a round trip later.
    assert.equal(await path('tail-loss'), [
      [82, 'tail-probe'],
      [102, 'fast-retransmit'],
    ]);
    assert.ok((await path('tail-loss', '--profile', 'freebsd')).every(([, reason]) => reason === 'timeout'));
    const probes = (await path('zero-window')).map(([, reason]) => reason);
    assert.equal(probes, new Array(4).fill('window-probe'));
  });

  test('takes the SYN,ACK of a simultaneous open for no repetition', async () => {
    const { moments } = await simulated('simultaneous-open');
    const again = moments.filter(({ segment }) => segment?.retransmission);
    assert.equal(again, []);
    const synAcks = moments.filter(({ segment }) => segment?.flags.join() === 'ACK,SYN');
    assert.is(synAcks.length, 2);
  });

  test('tells by keepalive, after two hours and nine probes, that the peer is gone', async () => {
    const run = await simulated('keepalive');
    const probes = reasonsOf(run);
    assert.equal(probes[0], [7_200_020, 'keepalive-probe']);
    assert.equal(probes.length, 9);
    assert.equal(run.ends, { client: 'timeout' });
    assert.is(run.endsUs.client, (7200 + 9 * 75) * 1e6 + 20_000);
    assert.is(run.states.server, 'ESTABLISHED');
  });

  test('shows what comes to TIME-WAIT: an old segment, an old RST, a new SYN', async () => {
    const states = (run: Simulated) => statesOf(run, 'server').slice(-4).join(' ');
    const run = await simulated('time-wait');
    const foreign = run.moments.flatMap(({ segment }) => segment?.note ?? []);
    assert.equal(foreign, ['an old duplicate', 'an old RST']);
    // RFC 1337: neither of them ends it. RFC 6191: the new SYN does.
    assert.is(states(run), 'TIME-WAIT CLOSED SYN-RECEIVED ESTABLISHED');
    const ends = (one: Simulated) => one.moments.find(({ server }) => server?.includes('CLOSED'))?.atUs;
    assert.is(ends(run), 3_070_000, 'with the new SYN');
    assert.ok((ends(await simulated('time-wait', '--profile', 'linux')) ?? 0) < 3_000_000, 'with a RST');
    assert.is(run.reopenUs, 3_090_000);
  });

  test('shows ECN: marks instead of losses, and a window that is brought down', async () => {
    const flags = (run: Simulated, from: string) =>
      run.moments.flatMap(({ segment }) => (segment?.from === from ? segment.flags : []));
    const marked = await simulated('congestion', '--ecn', '--bytes', '1000000');
    const count = (run: Simulated, fate: string) =>
      run.moments.filter(({ segment }) => segment?.fate === fate).length;
    assert.ok(count(marked, 'marked') > 0);
    assert.ok(flags(marked, 'server').includes('ECE') && flags(marked, 'client').includes('CWR'));
    const lost = await simulated('congestion', '--bytes', '1000000');
    assert.ok(count(lost, 'queue-full') > count(marked, 'queue-full'));
    assert.not.ok(flags(lost, 'client').includes('CWR'));
  });

  test('gives each end the TCP that is asked for, and its congestion control', async () => {
    const windows = async (...args: string[]) =>
      (await simulated('handshake', ...args)).moments.slice(0, 2).map(({ segment }) => segment?.window);
    const [own, linux] = [await windows(), await windows('--profile', 'linux')];
    assert.ok(own[0] !== linux[0] && own[1] !== linux[1]);
    assert.equal(await windows('--profile', 'linux', '--server-profile', 'finwait'), [linux[0], own[1]]);
    const samples = async (name: string) => {
      const { stdout } = await cliRun(['simulate', 'congestion', '--congestion', name, '--json']);
      return JSON.parse(stdout).samples as { cwnd: number; flight: number }[];
    };
    const [cubic, newreno] = [await samples('cubic'), await samples('newreno')];
    assert.ok(cubic.length > 500 && cubic.every(({ cwnd, flight }) => cwnd > 0 && flight >= 0));
    assert.not.equal(cubic, newreno);
  });

  test('tells who gets through a SYN flood, with cookies and without', async () => {
    const flood = async (...args: string[]) => {
      const { code, stdout } = await cliRun(['simulate', 'syn-flood', ...args, '--json']);
      assert.is(code, 0);
      return JSON.parse(stdout);
    };
    const [guarded, open] = [await flood(), await flood('--no-cookies')];
    assert.equal([guarded.opened, guarded.clients, guarded.cookiesAccepted], [100, 100, 100]);
    assert.equal([open.opened, open.cookiesSent], [0, 0]);
    assert.ok(open.synsDropped > 14_000);
    const weak = await flood('--no-cookies', '--flood', '50', '--runs', '3');
    assert.ok(weak.opened > 0 && weak.opened < weak.clients && weak.clients === 300);
    const { stdout } = await cliRun(['simulate', 'syn-flood']);
    assert.match(
      stdout,
      /^syn-flood, seed 1: 15,000 spoofed SYNs\n100 of 100 clients got through .* 100\.0 %/,
    );
  });

  test('loses exactly the leg that is asked for, once, and the connection gets over it', async () => {
    for (const leg of LEGS.filter((each) => each !== 'RST')) {
      const name = leg === 'DATA' ? 'transfer' : 'close';
      const run = await simulated(name, '--lose', leg.toLowerCase());
      const lost = run.moments.filter(({ segment }) => segment?.fate === 'lost');
      assert.is(lost.length, 1, leg);
      assert.is(run.ends.client, 'closed', leg);
    }
    const twice = await simulated('handshake', '--lose', 'SYN', '--lose', 'SYN');
    assert.is(twice.clientOpenUs, 3_020_000, 'a second, then two');
  });

  test('is the same run for the same seed, and another for another', async () => {
    const run = (seed: string) => cliRun(['simulate', 'transfer', '--loss', '5%', '--seed', seed, '--json']);
    const [first, again, other] = [await run('7'), await run('7'), await run('8')];
    assert.is(first.stdout, again.stdout);
    const { seed, ...played } = JSON.parse(first.stdout);
    const { seed: otherSeed, ...playedOther } = JSON.parse(other.stdout);
    assert.equal([seed, otherSeed], [7, 8]);
    assert.not.equal(played, playedOther);
  });

  test('answers what loss does to handshakes, in percentiles over many seeds', async () => {
    const { code, stdout } = await cliRun([
      'simulate',
      'handshake',
      '--loss',
      '3%',
      '--runs',
      '2000',
      '--json',
    ]);
    assert.is(code, 0);
    const { handshake, opened, runs } = JSON.parse(stdout);
    assert.equal([opened, runs], [2000, 2000]);
    assert.is(handshake.p50, 20_000);
    // One of 17 handshakes loses SYN or SYN-ACK, and waits for the first retransmission timeout.
    assert.is(handshake.p99, 1_020_000);
    const slow = await cliRun(['simulate', 'tail-loss', '--runs', '10', '--json']);
    assert.is(JSON.parse(slow.stdout).arrived.p50, 112_000);
    assert.is(percentilesOf([])?.p50, undefined);
    assert.equal(percentilesOf([3, 1, 2, 4]), { p50: 2, p90: 4, p99: 4, p999: 4, max: 4 });
  });

  test('prints a ladder with both ends, and what was lost in it', async () => {
    const { stdout } = await cliRun(['simulate', 'close', '--lose', 'SYN-ACK']);
    const lines = stdout.split('\n');
    assert.match(lines[0] ?? '', /^ +ms +client +flags +seq +ack +len +win +server/);
    assert.match(stdout, /10\.000 .* SYN ACK +0 +1 +0 +65535 +SYN-RECEIVED +lost/);
    assert.match(stdout, /1000\.000 +.*SYN .* sent again/);
    assert.match(
      lines.at(-2) ?? '',
      /^close, seed 1: the client was open after 1\.02 s; all gone after 61\.0 s/,
    );
    assert.ok(lines.every((line) => line === line.trimEnd()));
  });

  test('shows what the peer has of a transfer that lost something', async () => {
    const { stdout } = await cliRun(['simulate', 'fast-retransmit']);
    assert.match(stdout, /<- {2}ACK +1 +4345 +0 +257800 +ESTABLISHED +sack 5793:14481\n/);
  });

  test('says which leg was to be lost and was never sent', async () => {
    const { stdout } = await cliRun(['simulate', 'close', '--lose', 'data', '--lose', 'SYN']);
    assert.match(stdout, /; --lose: no DATA was sent that could be lost\n/);
    const lost = await cliRun(['simulate', 'close', '--lose', 'SYN']);
    assert.not.match(lost.stdout, /--lose/);
  });

  test('of a long ladder shows the lines that tell something', async () => {
    const { moments } = await simulated('zero-window');
    const { stdout } = await cliRun(['simulate', 'zero-window']);
    const lines = stdout.split('\n');
    assert.ok(moments.length > 200 && lines.length < 200);
    assert.is(lines.filter((line) => line.endsWith('window probe')).length, 4);
    assert.ok(
      lines.some((line) => /ACK +1 +262145 +0 +0$/.test(line)),
      'the shut window',
    );
    const folded = lines.flatMap((line) => / (\d+) more lines; --json has all$/.exec(line)?.[1] ?? []);
    const ladder = lines.slice(1, lines.indexOf(''));
    assert.is(
      ladder.length - folded.length + folded.reduce((sum, each) => sum + Number(each), 0),
      moments.length,
    );
    const { stdout: long } = await cliRun(['simulate', 'congestion']);
    assert.match(long, /lost: the queue is full/);
    assert.match(long, /sent again: found lost/);
    assert.ok(long.split('\n').length < 300);
  });

  test('keeps numbers, states and reasons on a terminal of 80 columns', async () => {
    const moments = [
      { atUs: 0, segment: segment({ flags: SYN }), client: ['SYN-SENT'] },
      { atUs: 1_000_000, segment: segment({ flags: SYN, retransmission: true, reason: 'timeout' }) },
      {
        atUs: 1_030_000,
        segment: segment({ from: 'server', flags: ACK, seq: 1, ack: 2, window: 262_144, fate: 'lost' }),
        server: ['ESTABLISHED', 'CLOSE-WAIT'],
      },
      {
        atUs: 60_040_000,
        segment: segment({ flags: FIN | ACK, seq: 2, ack: 2, window: 262_144 }),
        client: ['FIN-WAIT-2', 'TIME-WAIT'],
      },
    ] as const;
    const textOf = (columns: number) =>
      simulationLines(moments, columns).map((line) =>
        line
          .map(({ text }) => text)
          .join('')
          .trimEnd(),
      );
    assert.equal(textOf(80), [
      '       ms  client          flags    seq  ack  len     win      server',
      '    0.000  SYN-SENT        SYN        0         0   65535  ─→',
      ' 1000.000                  SYN        0         0   65535  ─→',
      '            sent again: timeout',
      ' 1030.000                                                      ESTABLISHED',
      ' 1030.000              ✕─  ACK        1    2    0  262144      CLOSE-WAIT',
      '            lost',
      '60040.000  FIN-WAIT-2',
      '60040.000  TIME-WAIT       FIN ACK    2    2    0  262144  ─→',
    ]);
  });

  test('plots the congestion window of a transfer', async () => {
    const { stdout } = await cliRun(['simulate', 'transfer', '--rate', '10M', '--bytes', '200000']);
    assert.match(stdout, /bytes . congestion window {2}. in flight/);
    assert.equal(plotLines([]), []);
    const many = Array.from({ length: 300_000 }, (_, atUs) => ({ atUs, cwnd: 10, flight: 5 }));
    assert.is(plotLines(many).length, 14);
  });

  test('writes a capture that tcpdump reads', async () => {
    await using dir = await makeTempDir('pcap');
    const path = join(dir.path, 'close.pcap');
    const { code, stderr } = await cliRun(['simulate', 'close', '--pcap', path]);
    assert.is(code, 0, stderr);
    const file = readFileSync(path);
    assert.is(file.readUInt32LE(0), 0xa1b2c3d4);
    assert.is(file.readUInt32LE(20), 101, 'raw IP');
    assert.is(file[24 + 16], 0x45, 'the first packet is IPv4');
    if (existsSync('/usr/bin/tcpdump')) {
      const { stdout } = await runProgram('/usr/bin/tcpdump', ['-nr', path]);
      assert.match(stdout, /Flags \[S\]/);
    }
    const flood = await cliRun(['simulate', 'syn-flood', '--flood', '10', '--pcap', path]);
    assert.is(flood.code, 0);
    // Each of 150 spoofed SYNs is answered, and each of a hundred clients takes three segments.
    assert.ok(countPackets(readFileSync(path)) >= 600);
    const nowhere = await cliRun(['simulate', 'close', '--pcap', join(dir.path, 'no', 'such')]);
    assert.is(nowhere.code, 3);
    assert.match(nowhere.stderr, /FILE_UNWRITABLE/);
  });

  test('says what is wrong with its arguments', async () => {
    const said = async (...args: string[]) => {
      const { code, stderr } = await cliRun(['simulate', ...args]);
      assert.is(code, 2, args.join(' '));
      return stderr;
    };
    assert.match(await said(), /no scenario is given\n {2}hint: give one of handshake, close/);
    assert.match(
      await said('handshak'),
      /there is no scenario "handshak"\n {2}hint: did you mean handshake\?/,
    );
    assert.match(await said('close', 'reset'), /one scenario is played at a time/);
    assert.match(await said('close', '--loss', '101%'), /--loss: "101%" is not a share such as 3% or 0\.03/);
    assert.match(await said('close', '--rate', 'fast'), /is not a rate/);
    assert.match(await said('close', '--lose', 'NAK'), /is not one of SYN, SYN-ACK/);
    assert.match(await said('close', '--runs', '5', '--pcap', 'x'), /--pcap is for one run/);
    assert.match(await said('close', '--flood', '10'), /--flood is for syn-flood, not for close/);
    assert.match(await said('reset', '--no-cookies'), /--no-cookies is for syn-flood, not for reset/);
    assert.match(await said('close', '--bytes', '10'), /--bytes: in close the client sends nothing/);
  });

  test('tells by its exit code that a run was cut off', async () => {
    const { code, stdout } = await cliRun(['simulate', 'close', '--limit', '1s']);
    assert.is(code, 1);
    assert.match(
      stdout,
      /at the end the client is in TIME-WAIT and the server is gone after 50\.0 ms \(closed\); cut off by --limit/,
    );
  });
});
