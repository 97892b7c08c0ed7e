/**
 * `npm run bench -- [NAME...] [--size tiny|full]`: benchmarks of the engine and of the tables, each beside what one would use
 * instead, in one run. Each has network and process namespaces of its own, which go with it, however it ends.
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { availableParallelism, cpus, loadavg, release } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { BENCHES, type BenchName } from './benches.ts';
import { lineOf, type Outcome, type Size } from './figures.ts';
import { MEASURED_CORE, PEER_CORE } from './programs.ts';

const INSIDE = join(import.meta.dirname, 'inside.ts');
const ISOLATION = ['--net', '--pid', '--mount-proc', '--fork', '--kill-child'];
const MINUTES_MAX = 5;

const NAMES = Object.keys(BENCHES) as BenchName[];
const HELP = `npm run bench -- [NAME...] [--size tiny|full]
  NAME     ${NAMES.join(', ')}; all unless named
  --size   full (what is measured by) or tiny (shows that it runs)
  --json   one line of JSON for each benchmark
Needs root, /dev/net/tun, unshare, taskset, ip and gcc; hping3, iperf3, ss and conntrack to be compared with.
`;

/** The machine's line: figures without it mean nothing. */
function machineLine(): string {
  const model = cpus()[0]?.model ?? 'unknown processor';
  return `${availableParallelism()} cores of ${model}, Linux ${release()}, Node ${process.version}; measured process on core ${MEASURED_CORE}, its peer on core ${PEER_CORE}; load before ${loadavg()[0]?.toFixed(2)}`;
}

async function run(name: BenchName, size: Size): Promise<Outcome> {
  const child = spawn('unshare', [...ISOLATION, process.execPath, INSIDE, name, size], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    // A session of its own, whose priority can be set.
    detached: true,
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), MINUTES_MAX * 60_000);
  let outcome: Outcome | undefined;
  child.on('message', (message) => {
    outcome = message as Outcome;
  });
  await once(child, 'close');
  clearTimeout(timer);
  if (outcome === undefined) throw new Error(`${name} gave no figures`);
  return outcome;
}

interface Settings {
  readonly names: readonly BenchName[];
  readonly size: Size;
  readonly json: boolean;
  readonly help: boolean;
}

/** @throws Error when it is not understood, with what is wrong */
function readSettings(): Settings {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: { size: { type: 'string' }, json: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } },
  });
  const { size = 'full', json = false, help = false } = values;
  const unknown = positionals.filter((name) => !NAMES.some((known) => known === name));
  if (unknown.length > 0) throw new Error(`there is no benchmark ${unknown.join(', ')}`);
  if (size !== 'tiny' && size !== 'full') throw new Error(`there is no size ${size}`);
  const names = positionals.length === 0 ? NAMES : NAMES.filter((name) => positionals.includes(name));
  return { names, size, json, help };
}

async function main(): Promise<number> {
  let settings: Settings;
  try {
    settings = readSettings();
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n${HELP}`);
    return 2;
  }
  const { names, size, json, help } = settings;
  if (help) {
    process.stdout.write(HELP);
    return 0;
  }
  if (!json) console.log(machineLine());
  let failures = 0;
  for (const name of names) {
    try {
      const outcome = await run(name, size);
      if (json) console.log(JSON.stringify({ name, size, machine: machineLine(), ...outcome }));
      else
        console.log(
          [name, ...outcome.figures.map(lineOf), ...outcome.notes.map((note) => `    ${note}`)].join('\n'),
        );
    } catch (error) {
      failures += 1;
      console.error(`${name}: ${(error as Error).message}`);
    }
  }
  return failures === 0 ? 0 : 1;
}

process.exitCode = await main();
