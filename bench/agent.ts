/** The whole agent with an operator, on a machine that does nothing and on one that opens 2,000 connections a second. */

import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Outcome, Size } from './figures.ts';
import { PORT, setting } from './network.ts';
import { compiled, hasProgram, MEASURED_CORE, PEER_CORE, type Program, start } from './programs.ts';

const CLI = join(import.meta.dirname, '../cli/main.ts');
const HEALTH = 'http://127.0.0.1:7463/readyz';
const QUIET = ['--log-level', 'error'];
/** As the installed command and the image start it. */
const COMPILED = [
  'env',
  `NODE_COMPILE_CACHE=${join(import.meta.dirname, '../node_modules/.cache/compiled')}`,
];
/** Network namespaces of others are not of this benchmark. */
const NAMED_NAMESPACES = '/run/netns';
const PER_SECOND = 2_000;
const AT_ONCE = 256;
/** One port has not enough others to be connected from while closed connections stay in TIME-WAIT. */
const SERVERS = 2;
/** After a minute as many connections leave TIME-WAIT as come into it. */
const WARM_UP_S = { tiny: 0.5, full: 20 } as const;
const LOAD_WARM_UP_S = { tiny: 1, full: 65 } as const;
const WATCHED_S = { tiny: 0.5, full: 30 } as const;
const AFTER_S = { tiny: 0.5, full: 90 } as const;
const GOAL_MIB = 110;
const GOAL_IDLE = 1;
const GOAL_LOADED = 10;

interface Memory {
  readonly residentMiB: number;
  /** Of these what is its own, and no file's. */
  readonly anonymousMiB: number;
}

interface Used extends Memory {
  /** Of one core, in percent. */
  readonly cpu: number;
}

export async function agent(size: Size): Promise<Outcome> {
  setting('net/ipv4/tcp_max_tw_buckets', 300_000);
  if (existsSync(NAMED_NAMESPACES)) execFileSync('mount', ['-t', 'tmpfs', 'none', NAMED_NAMESPACES]);
  const tracked = trackConnections();
  const folder = mkdtempSync(join(tmpdir(), 'finwait-bench-'));
  try {
    const token = join(folder, 'token');
    writeFileSync(token, 'a-token-for-a-benchmark', { mode: 0o600 });
    await using _operator = start(PEER_CORE, process.execPath, [
      ...[CLI, 'operator', '--tls-dir', folder, '--agent-token-file', token, '--node-name', 'bench'],
      ...QUIET,
    ]);
    const ca = join(folder, 'ca.crt');
    await until('the certificate of the operator', () => existsSync(ca));
    const args = [
      ...[CLI, 'agent', '--token-file', token, '--ca-file', ca, '--node-name', 'bench', '--mode', 'inspect'],
      ...['--state-dir', folder, ...QUIET],
    ];
    await compileOnce(args);
    await using measured = start(MEASURED_CORE, process.execPath, args, COMPILED);
    await until('the agent', () => answers(HEALTH));
    await sleep(1000 * WARM_UP_S[size]);
    const idle = await watch(measured, WATCHED_S[size]);
    const loaded = await underLoad(measured, size);
    await sleep(1000 * AFTER_S[size]);
    const after = memoryOf(measured);
    return {
      figures: [
        { what: 'CPU of an idle agent, of one core', ours: idle.cpu, unit: '%', goal: { most: GOAL_IDLE } },
        { what: 'memory of an idle agent', ours: idle.residentMiB, unit: 'MiB', goal: { most: GOAL_MIB } },
        {
          what: `CPU at ${PER_SECOND} connections in a second, of one core`,
          ours: loaded.cpu,
          unit: '%',
          goal: { most: GOAL_LOADED },
        },
        { what: 'memory then', ours: loaded.residentMiB, unit: 'MiB', goal: { most: GOAL_MIB } },
      ],
      notes: [
        `of the memory ${idle.anonymousMiB.toFixed(0)} MiB idle and ${loaded.anonymousMiB.toFixed(0)} MiB then are the process's own; the rest is pages of files, such as the program of Node`,
        `${AFTER_S[size]} s after it resident memory is ${after.residentMiB.toFixed(0)} MiB, ${after.anonymousMiB.toFixed(0)} its own`,
        `${loaded.opened} connections in a second were opened; ${loaded.sockets.trim()}`,
        tracked ? `conntrack held ${loaded.flows} flows` : 'without nft nothing makes conntrack track',
      ],
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The first run of an agent compiles, and keeps what it compiled when it ends. */
async function compileOnce(args: readonly string[]): Promise<void> {
  await using first = start(MEASURED_CORE, process.execPath, args, COMPILED);
  await until('the agent', () => answers(HEALTH));
  first.kill('SIGTERM');
  await first.ended;
}

/** Has the kernel track connections, and forget closed ones soon enough that its table does not fill. */
function trackConnections(): boolean {
  if (!hasProgram('nft')) return false;
  execFileSync('nft', [
    'add table inet t; add chain inet t c { type filter hook input priority 0; }; add rule inet t c ct state invalid counter',
  ]);
  setting('net/netfilter/nf_conntrack_tcp_timeout_time_wait', 60);
  return true;
}

async function underLoad(measured: Program, size: Size) {
  await using servers = new AsyncDisposableStack();
  for (let port = PORT; port < PORT + SERVERS; port += 1) {
    const args = ['127.0.0.1', String(port), 'close'];
    await servers.use(start(PEER_CORE, compiled('server'), args)).line();
  }
  const lasts = LOAD_WARM_UP_S[size] + WATCHED_S[size];
  const args = ['127.0.0.1', PORT, SERVERS, lasts + 1, AT_ONCE, PER_SECOND].map(String);
  await using client = start(PEER_CORE, compiled('client'), args);
  await sleep(1000 * LOAD_WARM_UP_S[size]);
  const used = await watch(measured, WATCHED_S[size]);
  const sockets = /^TCP:.*$/m.exec(readFileSync('/proc/net/sockstat', 'utf8'))?.[0] ?? '';
  const flows = readFileSync('/proc/sys/net/netfilter/nf_conntrack_count', 'utf8').trim();
  const { done, seconds } = JSON.parse(await client.line()) as { done: number; seconds: number };
  return { ...used, sockets, flows, opened: Math.round(done / seconds) };
}

async function watch(program: Program, seconds: number): Promise<Used> {
  const [startMs, before] = [performance.now(), program.cpuSeconds()];
  await sleep(1000 * seconds);
  const cpu = (100_000 * (program.cpuSeconds() - before)) / (performance.now() - startMs);
  return { cpu, ...memoryOf(program) };
}

function memoryOf(program: Program): Memory {
  const status = readFileSync(`/proc/${program.pid}/status`, 'utf8');
  const mebibytes = (name: string) =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) / 1024;
  return { residentMiB: mebibytes('VmRSS'), anonymousMiB: mebibytes('RssAnon') };
}

async function until(what: string, look: () => boolean | Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 300; tries += 1) {
    if (await look()) return;
    await sleep(100);
  }
  throw new Error(`${what} did not come`);
}

function answers(url: string): Promise<boolean> {
  return fetch(url).then(
    ({ ok }) => ok,
    () => false,
  );
}
