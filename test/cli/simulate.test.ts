import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { plotLines } from '../../cli/simulate-plot.ts';
import { percentilesOf } from '../../cli/simulate-runs.ts';
import { LEGS } from '../../daemon/netsim/legs.ts';
import type { Played, ScenarioName } from '../../daemon/netsim/scenarios.ts';
import { SCENARIOS } from '../../daemon/netsim/scenarios.ts';
import type { Moment } from '../../daemon/netsim/transcript.ts';
import { spec } from '../harness.ts';
import { runProgram } from '../support/child.ts';
import { makeTempDir } from '../support/temp-dir.ts';
import { cliRun } from './cli-run.ts';

const NAMES = Object.keys(SCENARIOS) as ScenarioName[];

interface Simulated extends Played {
  readonly moments: readonly (Omit<Moment, 'segment'> & {
    readonly segment?: {
      readonly flags: readonly string[];
      readonly fate: string;
      readonly retransmission: boolean;
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
    assert.is((await simulated('reset')).ends.server, 'reset');
    const shut = await cliRun(['simulate', 'zero-window', '--json']);
    const moments: { atUs: number; segment?: { from: string; window: number; length: number } }[] =
      JSON.parse(shut.stdout).moments;
    assert.ok(moments.some(({ segment }) => segment?.from === 'server' && segment.window === 0));
    assert.ok(
      moments.some(({ atUs, segment }) => atUs > 1e6 && atUs < 5e6 && segment?.from === 'client'),
      'the closed window is probed',
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
    assert.is.not(first.stdout, other.stdout);
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

  test('plots the congestion window of a transfer', async () => {
    const { stdout } = await cliRun(['simulate', 'transfer', '--rate', '10M', '--bytes', '200000']);
    assert.match(stdout, /bytes . congestion window {2}. in flight/);
    assert.equal(plotLines([]), []);
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
  });

  test('tells by its exit code that a run was cut off', async () => {
    const { code, stdout } = await cliRun(['simulate', 'close', '--limit', '1s']);
    assert.is(code, 1);
    assert.match(stdout, /at the end TIME-WAIT and CLOSED; cut off by --limit/);
  });
});
