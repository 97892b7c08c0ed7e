/**
 * One program under supervision: started with an IPC channel (its end of which closes when we die), restarted
 * with back-off when it dies, given up when it keeps dying at once.
 */

import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type { Condition } from '#base/errors.ts';
import { ERROR_CODES, FinwaitError } from '#base/errors.ts';

/** What a child says over its channel. */
export type ChildMessage =
  | ({ readonly type: 'ready' } & Readonly<Record<string, unknown>>)
  | ({ readonly type: 'failed' } & Condition);

export interface ChildPlan {
  /** `agent` or `operator` */
  readonly name: string;
  /** Program and arguments; asked again at every start, so that a restart can name the ports of the first. */
  command(): readonly [program: string, ...args: string[]];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** A line of the child's log. */
  onLog(line: string): void;
  /** The child said it is ready, at its first start and at each restart. */
  onReady(message: Readonly<Record<string, unknown>>): void;
  /** It runs under this number now. */
  onStart(pid: number): void;
  readonly pace?: Pace;
}

export interface Pace {
  readonly firstBackoffMs: number;
  readonly maxBackoffMs: number;
  /** A child that lived shorter than this died quickly. */
  readonly quickMs: number;
  /** So many quick deaths in a row, and it is given up. */
  readonly quickDeaths: number;
}

const PACE: Pace = { firstBackoffMs: 500, maxBackoffMs: 10_000, quickMs: 10_000, quickDeaths: 5 };
const LOG_LINES_KEPT = 20;

export interface SupervisedChild {
  /** The fault to show while it is down or has just been down. */
  condition(): Condition | undefined;
  /** Rejects with CHILD_DIED, or with what the child said, when it is given up; otherwise stays pending. */
  readonly givenUp: Promise<never>;
  /** Asks it to end with SIGTERM, and ends it with SIGKILL at the deadline. */
  stop(graceMs: number): Promise<void>;
  /** Ends it without asking. */
  kill(): void;
}

/** Starts a child and watches over it until `stop` or `kill`. */
export function superviseChild(plan: ChildPlan): SupervisedChild {
  const pace = plan.pace ?? PACE;
  const stopping = new AbortController();
  let running: Running | undefined;
  let condition: Condition | undefined;

  async function run(): Promise<void> {
    let quickDeaths = 0;
    let everReady = false;
    while (!stopping.signal.aborted) {
      const started = Date.now();
      running = startChild(plan, () => {
        everReady = true;
      });
      const end = await running.ended;
      running = undefined;
      if (stopping.signal.aborted) return;
      quickDeaths = Date.now() - started < pace.quickMs ? quickDeaths + 1 : 1;
      // What a child says of itself before it was ever ready (a port in use, a setting) will not mend itself.
      if (end.failure !== undefined && !everReady) throw end.failure;
      if (quickDeaths >= pace.quickDeaths) throw end.failure ?? diedError(plan.name, end, quickDeaths);
      const waitMs = Math.min(pace.maxBackoffMs, pace.firstBackoffMs * 2 ** (quickDeaths - 1));
      condition = {
        code: 'CHILD_DIED',
        message: `the ${plan.name} ${end.how}${lastWords(end)}`,
        hint: `it is started again by itself, with growing pauses (now ${waitMs / 1000} s)`,
      };
      await delay(waitMs, undefined, { signal: stopping.signal }).catch(() => {});
    }
  }

  const givenUp = run().then(() => new Promise<never>(() => {}));
  givenUp.catch(() => {});
  return {
    condition() {
      if (condition !== undefined && running?.steady(pace.quickMs)) condition = undefined;
      return condition;
    },
    givenUp,
    async stop(graceMs) {
      stopping.abort();
      await running?.stop(graceMs);
    },
    kill() {
      stopping.abort();
      running?.kill();
    },
  };
}

interface End {
  /** `ended with exit code 1`, `was ended by SIGKILL` */
  readonly how: string;
  /** What the child said was wrong, if it did. */
  readonly failure: FinwaitError | undefined;
  readonly lastLine: string | undefined;
}

interface Running {
  readonly ended: Promise<End>;
  /** Whether it is ready and has been for so long. */
  steady(forMs: number): boolean;
  stop(graceMs: number): Promise<void>;
  kill(): void;
}

function startChild(plan: ChildPlan, onFirstReady: () => void): Running {
  const [program, ...args] = plan.command();
  // A session of its own: the terminal's Ctrl-C and hang-up reach us alone, and we end the children in order.
  const child = spawn(program, args, {
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    detached: true,
    env: plan.env,
  });
  if (child.pid !== undefined) plan.onStart(child.pid);
  let failure: FinwaitError | undefined;
  let readyAt: number | undefined;
  let lastLine: string | undefined;
  const kept: string[] = [];
  // A child that could not be started for want of descriptors has none.
  for (const stream of [child.stdout, child.stderr].filter((each) => each instanceof Readable)) {
    createInterface({ input: stream }).on('line', (line) => {
      if (line.trim() === '') return;
      kept.push(line);
      if (kept.length > LOG_LINES_KEPT) kept.shift();
      lastLine = telling(kept);
      plan.onLog(line);
    });
  }
  child.on('message', (message) => {
    const said = readMessage(message);
    if (said?.type === 'failed') failure = new FinwaitError(said.code, said.message, said.hint);
    if (said?.type === 'ready') {
      readyAt = Date.now();
      onFirstReady();
      plan.onReady(said);
    }
  });
  const ended = new Promise<End>((resolve) => {
    child.on('error', (error) => resolve({ how: `did not start: ${error.message}`, failure, lastLine }));
    // `close` comes after `exit`, once the last lines have been read.
    child.on('close', (code, signal) => {
      const how = signal === null ? `ended with exit code ${code}` : `was ended by ${signal}`;
      resolve({ how, failure, lastLine });
    });
  });
  return {
    ended,
    steady: (forMs) => readyAt !== undefined && Date.now() - readyAt >= forMs,
    stop: (graceMs) => stopChild(child, ended, graceMs),
    kill: () => void child.kill('SIGKILL'),
  };
}

async function stopChild(child: ChildProcess, ended: Promise<End>, graceMs: number): Promise<void> {
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), graceMs);
  await ended;
  clearTimeout(timer);
}

/** The line of a crash that tells most: of an exception's trace its message, else the last. */
function telling(lines: readonly string[]): string | undefined {
  return lines.findLast((line) => /^(\w*Error|finwait\b.*)(:| \[)/.test(line)) ?? lines.at(-1);
}

function lastWords(end: End): string {
  if (end.failure !== undefined) return `: ${end.failure.code}: ${end.failure.message}`;
  return end.lastLine === undefined ? '' : `; its last line: ${end.lastLine}`;
}

function diedError(name: string, end: End, times: number): FinwaitError {
  return new FinwaitError(
    'CHILD_DIED',
    `the ${name} ${end.how} ${times} times in a row${lastWords(end)}`,
    'start finwait up again with --log-file FILE --log-level debug and look at the end of that file',
  );
}

/** A message of a child, or undefined for anything else that comes over the channel. */
function readMessage(message: unknown): ChildMessage | undefined {
  if (typeof message !== 'object' || message === null || !('type' in message)) return undefined;
  if (message.type === 'ready') return message as ChildMessage;
  const failed = message as Partial<ChildMessage & Condition>;
  const known = message.type === 'failed' && Object.hasOwn(ERROR_CODES, String(failed.code));
  return known ? (message as ChildMessage) : undefined;
}
