/**
 * Bulk transfer at MTU 1500, each direction: the engine and the kernel's TCP over a TUN device against iperf3 between
 * two kernels' TCPs that a C program joins by two such devices.
 */

import { execFileSync } from 'node:child_process';
import type { Figure, Outcome, Size } from './figures.ts';
import { type EngineResult, profiled, runEngine } from './measured-engine.ts';
import { DEVICE, ENGINE, HOST, PORT, setUpDevice } from './network.ts';
import { linesOf } from './profile.ts';
import { compiled, hasProgram, MEASURED_CORE, PEER_CORE, start } from './programs.ts';

const BYTES = { tiny: 4e6, full: 1e9 } as const;
const IPERF_SECONDS = { tiny: 1, full: 8 } as const;
const SECONDS_MAX = 60;
const FAR_DEVICE = 'fwbench1';
const IPERF_PORT = 7100;

export async function bulk(size: Size): Promise<Outcome> {
  const bytes = BYTES[size];
  const work = { bytes, seconds: SECONDS_MAX };
  const short = { bytes: bytes / 4, seconds: SECONDS_MAX };
  const sent = await withPeer('sink', bytes, () => runEngine('send', work));
  const received = await withPeer('source', bytes, () => runEngine('receive', work));
  const sentProfile = await profiled((profile) =>
    withPeer('sink', bytes, () => runEngine('send', { ...short, profile })),
  );
  const receivedProfile = await profiled((profile) =>
    withPeer('source', short.bytes, () => runEngine('receive', { ...short, profile })),
  );
  const iperf = hasProgram('iperf3') ? await iperf3(IPERF_SECONDS[size]) : undefined;
  const figure = (what: string, result: EngineResult): Figure => ({
    what,
    ours: megabits(result.bytes, result.seconds),
    unit: 'Mbit/s',
    ...(iperf === undefined ? {} : { other: { name: 'iperf3', value: iperf } }),
  });
  const about = (what: string, result: EngineResult) =>
    `${what}: ${(result.bytes / 1e6).toFixed(0)} MB in ${result.seconds.toFixed(2)} s, ${result.cpuSeconds.toFixed(2)} s of CPU, ${result.retransmitted} segments retransmitted, ${result.writesFailed} writes failed`;
  return {
    figures: [figure('engine sends', sent), figure('engine receives', received)],
    notes: [
      about('engine sends', sent),
      about('engine receives', received),
      ...(iperf === undefined ? ['iperf3 is not installed (apt-get install iperf3)'] : []),
      ...linesOf(sentProfile).map((line) => `engine sends, ${line}`),
      ...linesOf(receivedProfile).map((line) => `engine receives, ${line}`),
    ],
  };
}

async function withPeer<T>(does: 'sink' | 'source', bytes: number, measure: () => Promise<T>): Promise<T> {
  await using server = start(PEER_CORE, compiled('server'), ['0.0.0.0', String(PORT), does, String(bytes)]);
  await server.line();
  return await measure();
}

/** @returns Mbit/s */
async function iperf3(seconds: number): Promise<number> {
  // A kernel of its own to talk to: an anonymous namespace, that of a shell which waits.
  await using far = start(PEER_CORE, 'sh', ['-c', 'echo ready; read line'], ['unshare', '--net']);
  await far.line();
  const within = ['nsenter', `--net=/proc/${far.pid}/ns/net`, '--'];
  await using pump = start(MEASURED_CORE, compiled('pump'), [DEVICE, FAR_DEVICE]);
  await pump.line();
  setUpDevice();
  execFileSync('ip', ['link', 'set', FAR_DEVICE, 'netns', String(far.pid)]);
  setUpDevice(FAR_DEVICE, ENGINE, within);
  const common = ['-p', String(IPERF_PORT)];
  await using server = start(PEER_CORE, 'iperf3', ['-s', '-1', '--forceflush', ...common], within);
  while (!(await server.line()).includes('listening'));
  const options = ['-c', ENGINE, '-t', String(seconds), '--json', ...common];
  await using client = start(PEER_CORE, 'iperf3', ['-B', HOST, ...options]);
  let text = '';
  for (;;) {
    const line = await client.line().catch(() => undefined);
    if (line === undefined) break;
    text += line;
  }
  const bits = JSON.parse(text).end?.sum_received?.bits_per_second;
  if (typeof bits !== 'number') throw new Error(`iperf3 failed: ${text}`);
  return bits / 1e6;
}

function megabits(bytes: number, seconds: number): number {
  return (bytes * 8) / seconds / 1e6;
}
