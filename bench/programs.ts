/** The programs of a benchmark: C compiled once into a cache folder, children pinned to a core, their CPU time. */

import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync } from 'node:fs';
import { availableParallelism, homedir } from 'node:os';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';

const SOURCES = join(import.meta.dirname, 'c');
const HEADERS = ['common.h', 'wire.h', 'netlink.h', 'ctnetlink.h'];
const TICKS_PER_SECOND = 100;

/** The core of what is measured, and that of its peer; the same one when there is no other. */
export const MEASURED_CORE = availableParallelism() > 1 ? 1 : 0;
export const PEER_CORE = 0;

/** The path of the program `bench/c/NAME.c`, compiled when it or the compiler's flags have changed. */
export function compiled(name: string): string {
  const source = join(SOURCES, `${name}.c`);
  const flags = ['-O2', '-Wall', '-Wextra', '-Werror'];
  const content = createHash('sha256')
    .update(readFileSync(source))
    .update(HEADERS.map((header) => readFileSync(join(SOURCES, header), 'utf8')).join())
    .update(flags.join())
    .digest('hex')
    .slice(0, 16);
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
  const folder = join(cache, 'finwait', `bench-${content}`);
  const program = join(folder, name);
  if (existsSync(program)) return program;
  mkdirSync(folder, { recursive: true });
  const fresh = `${program}.${process.pid}`;
  execFileSync('gcc', [...flags, '-o', fresh, source], { stdio: ['ignore', 'inherit', 'inherit'] });
  renameSync(fresh, program);
  return program;
}

export function hasProgram(name: string): boolean {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  return folders.some((folder) => existsSync(join(folder, name)));
}

export interface Program extends AsyncDisposable {
  readonly pid: number;
  /** Its next line of output. @throws Error when it ended before */
  line(): Promise<string>;
  /** Gives it a line to read. */
  tell(text: string): void;
  /** Ends its standard input, which the C programs end at, and waits for it. */
  end(): Promise<void>;
  readonly ended: Promise<void>;
  kill(signal: NodeJS.Signals): void;
  /** CPU seconds it has used, of its own and in the kernel. */
  cpuSeconds(): number;
}

/** Starts a program on one core. It dies with this process, because the benchmark's process namespace does. */
export function start(
  core: number,
  program: string,
  args: readonly string[],
  within: readonly string[] = [],
): Program {
  const [first = '', ...rest] = ['taskset', '-c', String(core), ...within, program, ...args];
  const child = spawn(first, rest, { stdio: ['pipe', 'pipe', 'inherit'] });
  child.stdin.on('error', () => {});
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const ended = new Promise<void>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', () => resolve());
  });
  ended.catch(() => {});
  const pid = child.pid ?? 0;
  return {
    pid,
    async line() {
      const { value, done } = await lines.next();
      if (done) throw new Error(`${program} ended without an answer`);
      return value;
    },
    tell: (text) => child.stdin.write(`${text}\n`),
    async end() {
      child.stdin.end();
      await ended;
    },
    ended,
    kill: (signal) => child.kill(signal),
    cpuSeconds() {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
    },
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}
