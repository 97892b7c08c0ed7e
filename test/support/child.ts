/** Programs that tests start: their output as it comes, waits for lines of it, an end with the scope. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export const ROOT = join(import.meta.dirname, '../..');

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface Child extends AsyncDisposable {
  readonly pid: number;
  /** All it has printed so far. */
  readonly stdout: string;
  readonly stderr: string;
  /** Settles when it has ended and its output is complete; a descendant that holds it open is not waited for. */
  readonly ended: Promise<Exit>;
  /**
   * Waits for a match in what one stream has printed since `after` characters, or from the beginning.
   * Fails when the program ends first or the time is over, with all it printed.
   */
  output(pattern: RegExp, options?: OutputOptions): Promise<RegExpExecArray>;
  kill(signal: NodeJS.Signals): void;
  /** Sends the signal and waits for the end; what does not end in time is killed, and the test fails. */
  stop(signal?: NodeJS.Signals, timeoutMs?: number): Promise<Exit>;
}

export interface OutputOptions {
  readonly stream?: 'stdout' | 'stderr';
  readonly timeoutMs?: number;
  readonly after?: number;
}

export interface ChildOptions {
  readonly cwd?: string;
  /** Added to this process's environment; undefined takes a variable away. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** A command line that runs the program: `nsenter --net=...`. */
  readonly within?: readonly string[];
  /** Gives the program a standard input that stays open; otherwise it has none. */
  readonly stdin?: 'pipe';
}

/** Long enough for a loaded machine: only what hangs comes to these. */
const WAIT_MS = 40_000;
const STOP_MS = 30_000;
const OUTPUT_END_MS = 2_000;

/** Starts a program with its output in pipes. */
export function startProgram(program: string, args: readonly string[], options: ChildOptions = {}): Child {
  const [first, ...rest] = [...(options.within ?? []), program, ...args];
  const child = spawn(first ?? program, rest, {
    cwd: options.cwd ?? ROOT,
    env: { ...process.env, NO_COLOR: '1', ...options.env },
    stdio: [options.stdin ?? 'ignore', 'pipe', 'pipe'],
  });
  const said = { stdout: '', stderr: '' };
  const waiting = new Set<() => void>();
  const wake = () => {
    for (const look of waiting) look();
  };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name]?.setEncoding('utf8').on('data', (text: string) => {
      said[name] += text;
      wake();
    });
  }
  let exit: Exit | undefined;
  const ended = new Promise<Exit>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', async (code, signal) => {
      // What it left running may hold its output open for ever.
      await Promise.race([once(child, 'close'), sleep(OUTPUT_END_MS, undefined, { ref: false })]);
      exit = { code, signal };
      wake();
      resolve(exit);
    });
  });
  // Whoever awaits it sees the error; without anybody a program that cannot start is not a crash.
  ended.catch(() => {});

  const all = () => `stdout:\n${said.stdout}\nstderr:\n${said.stderr}`;
  const stop = async (signal: NodeJS.Signals = 'SIGTERM', timeoutMs = STOP_MS) => {
    if (exit === undefined) child.kill(signal);
    const timer = new AbortController();
    const late = sleep(timeoutMs, 'late' as const, { signal: timer.signal }).catch(() => 'late' as const);
    const first = await Promise.race([ended, late]);
    timer.abort();
    if (first !== 'late') return first;
    child.kill('SIGKILL');
    await ended;
    throw new Error(`${program} did not end within ${timeoutMs} ms of ${signal}\n${all()}`);
  };

  return {
    pid: child.pid ?? 0,
    get stdout() {
      return said.stdout;
    },
    get stderr() {
      return said.stderr;
    },
    ended,
    output(pattern, { stream = 'stdout', timeoutMs = WAIT_MS, after = 0 } = {}) {
      const { promise, resolve, reject } = Promise.withResolvers<RegExpExecArray>();
      const fail = (why: string) => reject(new Error(`${why} before ${pattern} on ${stream}\n${all()}`));
      const timer = setTimeout(() => fail(`${timeoutMs} ms passed`), timeoutMs);
      const look = () => {
        const match = new RegExp(pattern, pattern.flags.replace(/[gy]/g, '')).exec(said[stream].slice(after));
        if (match !== null) resolve(match);
        else if (exit !== undefined) fail(`the program ended (${exit.signal ?? exit.code})`);
      };
      waiting.add(look);
      look();
      return promise.finally(() => {
        clearTimeout(timer);
        waiting.delete(look);
      });
    },
    kill: (signal) => void child.kill(signal),
    stop,
    async [Symbol.asyncDispose]() {
      if (exit === undefined && child.pid !== undefined) await stop('SIGTERM');
    },
  };
}

/** Starts `finwait ARGS` from this tree on the Node that runs the tests. */
export function startFinwait(args: readonly string[], options: ChildOptions = {}): Child {
  return startProgram(process.execPath, [join(ROOT, 'cli/main.ts'), ...args], options);
}

export interface Ran extends Exit {
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end. */
export async function runProgram(
  program: string,
  args: readonly string[],
  { timeoutMs = WAIT_MS, ...options }: ChildOptions & { readonly timeoutMs?: number } = {},
): Promise<Ran> {
  const child = startProgram(program, args, options);
  const timer = setTimeout(() => child.kill('SIGKILL'), timeoutMs);
  const exit = await child.ended.finally(() => clearTimeout(timer));
  return { ...exit, stdout: child.stdout, stderr: child.stderr };
}

/** Runs `finwait ARGS` to its end. */
export function runFinwait(
  args: readonly string[],
  options: ChildOptions & { readonly timeoutMs?: number } = {},
): Promise<Ran> {
  return runProgram(process.execPath, [join(ROOT, 'cli/main.ts'), ...args], options);
}
