/**
 * Runs one test file in a process and a process group of its own, and judges it by what it said on its
 * channel, by how it ended, and by what it left behind. Silence is a failure.
 */

import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import type { TestMessage } from './channel.ts';
import { CHANNEL_VARIABLE } from './channel.ts';
import { listProcesses } from './processes.ts';

export interface FileOutcome {
  readonly file: string;
  readonly passed: number;
  /** Each test, or other thing about the file, that failed. */
  readonly failures: readonly { readonly title: string; readonly text: string }[];
  readonly skipped: readonly { readonly title: string; readonly why: string }[];
  /** Tests left out by the name filter. */
  readonly filtered: number;
  readonly ms: number;
  /** All it printed: uvu's report with diffs, and the tests' own words. */
  readonly output: string;
}

/** Time to load a file and between two tests. */
const QUIET_MS = 120_000;
/** What a test gets past its own deadline: only a blocked event loop needs it. */
const GRACE_MS = 15_000;
/** npm keeps its compiled code there from run to run. */
const NPM_CACHE = 'node-compile-cache';
const OUTPUT_LIMIT = 200_000;
const COLOR = process.stdout.isTTY ? { FORCE_COLOR: '1' } : { NO_COLOR: '1' };

const running = new Set<ChildProcess>();

/** Runs a file with this Node; `limitMs` bounds the whole of it. */
export async function runTestFile(
  file: string,
  { limitMs = 1_800_000, env = {} as NodeJS.ProcessEnv } = {},
): Promise<FileOutcome> {
  const startedMs = performance.now();
  const temp = makeTempFolder();
  const child = spawn(process.execPath, [file], {
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    env: { ...process.env, ...COLOR, TMPDIR: temp, ...env, [CHANNEL_VARIABLE]: '3' },
    detached: true,
  });
  running.add(child);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (text: string) => {
      output = (output + text).slice(-OUTPUT_LIMIT);
    });
  }

  const judge = new Judge();
  let killedBecause: string | undefined;
  const kill = (why: string) => {
    killedBecause = why;
    child.kill('SIGKILL');
  };
  const limit = setTimeout(() => kill(`the file did not end within ${limitMs} ms`), limitMs);
  let quiet = setTimeout(() => kill(`the file was silent for ${QUIET_MS} ms`), QUIET_MS);
  const channel = createInterface({ input: child.stdio[3] as Readable });
  channel.on('line', (line) => {
    const message = JSON.parse(line) as TestMessage;
    judge.hear(message);
    clearTimeout(quiet);
    const waitMs = message.type === 'start' ? message.timeoutMs + GRACE_MS : QUIET_MS;
    quiet = setTimeout(() => kill(`nothing was heard for ${waitMs} ms; the event loop is blocked`), waitMs);
  });
  const channelClosed = new Promise((resolve) => channel.once('close', resolve));

  const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve) =>
    child.once('exit', (...how) => resolve(how)),
  );
  clearTimeout(limit);
  clearTimeout(quiet);
  const left = endGroup(child.pid);
  await channelClosed;
  running.delete(child);
  const ending = killedBecause ?? (signal === null ? `exit code ${code}` : `signal ${signal}`);
  const failures = judge.failures(code === 0, ending);
  const files = readdirSync(temp).filter((name) => name !== NPM_CACHE);
  rmSync(temp, { recursive: true, force: true });
  // A file that failed may not have come to its cleaning up; what it left is no news then.
  if (left.length > 0 && killedBecause === undefined) {
    failures.push({ title: 'end of file', text: `left processes behind: ${left.join('; ')}` });
  }
  if (files.length > 0 && failures.length === 0) {
    failures.push({ title: 'end of file', text: `left temporary files behind: ${files.join(' ')}` });
  }
  return {
    file,
    passed: judge.passed,
    failures,
    skipped: judge.skipped,
    filtered: judge.filtered,
    ms: performance.now() - startedMs,
    output,
  };
}

/** A folder for one file's temporary files, open to every user as /tmp is, since some tests give up their rights. */
function makeTempFolder(): string {
  const path = mkdtempSync(join(tmpdir(), 'finwait-tests-'));
  chmodSync(path, 0o1777);
  return path;
}

/** Ends every file that runs, with all they started. For a runner that is itself told to stop. */
export function endRunningFiles(): void {
  for (const child of running) endGroup(child.pid);
}

/** Collects what a file says and turns it into a verdict that needs everything said to add up. */
class Judge {
  passed = 0;
  filtered = 0;
  readonly skipped: { title: string; why: string }[] = [];
  readonly #failed: { title: string; text: string }[] = [];
  #declared = 0;
  #settled = 0;
  #running: string | undefined;
  #done = false;

  hear(message: TestMessage): void {
    switch (message.type) {
      case 'spec':
        this.#declared += message.tests - message.filtered;
        this.filtered += message.filtered;
        break;
      case 'start':
        this.#running = `${message.spec}: ${message.title}`;
        break;
      case 'pass':
        this.passed++;
        this.#settle();
        break;
      case 'fail':
        this.#failed.push({ title: `${message.spec}: ${message.title}`, text: message.text });
        if (this.#running === `${message.spec}: ${message.title}`) this.#settle();
        break;
      case 'skip':
        this.skipped.push({ title: `${message.spec}: ${message.title}`, why: message.why });
        this.#settled++;
        break;
      case 'done':
        this.#done = true;
        break;
      case 'waiting':
        break;
      default:
        message satisfies never;
    }
  }

  failures(endedWell: boolean, ending: string): { title: string; text: string }[] {
    const failures = [...this.#failed];
    if (this.#running !== undefined) {
      failures.push({ title: this.#running, text: `did not settle: ${ending}` });
    } else if (!this.#done) {
      const text = this.#declared === 0 ? 'no spec ran' : 'ended before its tests were finished';
      failures.push({ title: 'whole file', text: `${text}: ${ending}` });
    } else if (this.#declared + this.filtered === 0 && failures.length === 0) {
      failures.push({ title: 'whole file', text: 'has no tests' });
    } else if (this.#settled !== this.#declared) {
      failures.push({ title: 'whole file', text: `${this.#settled} of ${this.#declared} tests ran` });
    }
    if (failures.length === 0 && !endedWell) failures.push({ title: 'end of file', text: ending });
    return failures;
  }

  #settle(): void {
    this.#settled++;
    this.#running = undefined;
  }
}

/** Kills what is left of a process group and names it. */
function endGroup(group: number | undefined): string[] {
  if (group === undefined) return [];
  const left = listProcesses().filter((entry) => entry.group === group);
  if (left.length > 0) {
    try {
      process.kill(-group, 'SIGKILL');
    } catch {
      // They ended by themselves just now.
    }
  }
  return left.map(({ pid, command }) => `${pid} ${command}`);
}
