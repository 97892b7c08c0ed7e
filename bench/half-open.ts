/**
 * Half-open probes, SYN, SYN,ACK and RST, against hping3 --flood and its like: a port of the kernel's TCP is asked
 * as often as possible. What counts is probes that were answered.
 */

import { readFileSync } from 'node:fs';
import type { Figure, Outcome, Size } from './figures.ts';
import { profiled, runEngine } from './measured-engine.ts';
import { PORT } from './network.ts';
import { linesOf } from './profile.ts';
import { compiled, hasProgram, MEASURED_CORE, PEER_CORE, start } from './programs.ts';

const AT_ONCE = 256;
const SECONDS = { tiny: 0.4, full: 10 } as const;
const PROFILED_SECONDS = 4;

export async function halfOpen(size: Size): Promise<Outcome> {
  const seconds = SECONDS[size];
  await using server = start(PEER_CORE, compiled('server'), ['0.0.0.0', String(PORT), 'close']);
  await server.line();
  const work = { seconds, atOnce: AT_ONCE };
  const engine = await runEngine('half-open', work);
  const scan = await scanner(seconds);
  const hping = hasProgram('hping3') ? await hping3(seconds) : undefined;
  const profiledSeconds = Math.min(seconds, PROFILED_SECONDS);
  const summary = await profiled((profile) =>
    runEngine('half-open', { ...work, seconds: profiledSeconds, profile }),
  );
  const what = 'half-open probes answered';
  const ours = { what, ours: engine.done / engine.seconds, unit: 'probes/s' };
  const figures: Figure[] = [
    { ...ours, other: { name: 'C with a raw socket that reads its answers', value: scan.perSecond } },
  ];
  if (hping !== undefined) {
    const other = { name: 'hping3 --flood (answers not looked at)', value: hping.perSecond };
    figures.unshift({ ...ours, other, goal: { least: 1.2 } });
  }
  return {
    figures,
    notes: [
      `engine: ${((engine.cpuSeconds * 1e6) / engine.done).toFixed(1)} us of CPU for a probe, ${engine.failed} failed`,
      ...(hping === undefined
        ? ['hping3 is not installed (apt-get install hping3)']
        : [`hping3: ${hping.sent} SYNs sent, ${hping.answered} answered by the kernel`]),
      `C with a raw socket: ${scan.sent} SYNs sent, ${scan.answered} answers read`,
      ...linesOf(summary),
    ],
  };
}

interface Sent {
  readonly perSecond: number;
  readonly sent: number;
  readonly answered: number;
}

/** The kernel resets what hping3 asked for and did not open: one RST for each SYN that was answered. */
async function hping3(seconds: number): Promise<Sent> {
  const before = resetsSent();
  const startedMs = performance.now();
  const options = ['--flood', '--syn', '--quiet', '-p', String(PORT), '127.0.0.1'];
  await using program = start(MEASURED_CORE, 'sh', ['-c', 'exec hping3 "$@" 2>&1', 'sh', ...options]);
  setTimeout(() => program.kill('SIGINT'), seconds * 1000);
  let text = '';
  for (;;) {
    const line = await program.line().catch(() => undefined);
    if (line === undefined) break;
    text += `${line}\n`;
  }
  const elapsed = (performance.now() - startedMs) / 1000;
  const answered = resetsSent() - before;
  const sent = Number(/(\d+) packets (?:tramitted|transmitted)/.exec(text)?.[1]);
  if (!(sent > 0)) throw new Error(`hping3 did not say what it sent: ${text}`);
  return { perSecond: answered / elapsed, sent, answered };
}

async function scanner(seconds: number): Promise<Sent> {
  await using program = start(MEASURED_CORE, compiled('scan'), ['127.0.0.1', String(PORT), String(seconds)]);
  const result = JSON.parse(await program.line()) as { sent: number; answered: number; seconds: number };
  return { ...result, perSecond: result.answered / result.seconds };
}

/** OutRsts of this namespace. RFC 4022 */
function resetsSent(): number {
  const [names = [], values = []] = readFileSync('/proc/net/snmp', 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('Tcp:'))
    .map((line) => line.split(' '));
  return Number(values[names.indexOf('OutRsts')]);
}
