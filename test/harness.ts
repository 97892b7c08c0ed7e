/**
 * How finwait's tests are written: `spec(name, (test) => { test('says what', async () => { ... }) })`, one or
 * more to a file, assertions from `uvu/assert`. uvu runs them and prints diffs; this wrapper closes what uvu
 * lets through: a hook or a test that throws anything at all fails, each test has a deadline that names it,
 * a spec without tests fails, `.run()` cannot be forgotten, and a file that leaves something open fails.
 */

import { stripVTControlCharacters } from 'node:util';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { tellRunner } from './support/channel.ts';
import { machineTurn } from './support/machine-turn.ts';
import type { Need } from './support/needs.ts';
import { skippingAllowed, unmet } from './support/needs.ts';

export interface TestOptions {
  /** The test fails when it has not settled by then. Milliseconds. */
  readonly timeoutMs?: number;
  /** What the machine must have; see test/support/needs.ts. */
  readonly needs?: readonly Need[];
}

export interface TestContext {
  /** Aborted when the test has missed its deadline, so that what it started can end. */
  readonly signal: AbortSignal;
}

export interface SpecOptions {
  /**
   * True when the tests use what the whole machine shares (a device name in the root network namespace, a
   * fixed port): the file runs alone. The runner looks for these words in the source before it starts a file.
   */
  readonly exclusive?: true;
}

type Body = (context: TestContext) => unknown;
type Hook = () => unknown;

export interface Register {
  (title: string, body: Body, options?: TestOptions): void;
  /** Runs before the first test; when it throws, every test of the spec fails. Prefer `await using`. */
  before(hook: Hook): void;
  /** Runs after the last test, whatever happened; when it throws, the spec fails. */
  after(hook: Hook): void;
}

const DEFAULT_TIMEOUT_MS = 60_000;
const CLOSING_TIME_MS = 6_000;

const pattern = process.env.FINWAIT_TEST_NAME;
const wanted = pattern === undefined || pattern === '' ? undefined : new RegExp(pattern, 'i');

let specsOpen = 0;
let failures = 0;
let seed: number | undefined;
/** Fails the test that is running, with an error nobody awaited. */
let failRunning: ((error: Error) => void) | undefined;

/** Defines a suite and runs it once the file is loaded. */
export function spec(name: string, define: (test: Register) => void, options: SpecOptions = {}): void {
  const run = suite(name);
  const titles = new Set<string>();
  let filtered = 0;
  let defined = false;
  let setupError: Error | undefined;
  specsOpen++;

  const hook = (what: string, body: Hook) => async () => {
    try {
      await withDeadline(`the ${what} hook`, DEFAULT_TIMEOUT_MS, body);
    } catch (thrown) {
      const error = new Error(`the ${what} hook threw: ${errorOf(thrown).message}`, { cause: thrown });
      if (what === 'before') setupError = error;
      else failOutside(name, `${what} hook`, error);
    }
  };
  const test: Register = Object.assign(
    (title: string, body: Body, { timeoutMs = DEFAULT_TIMEOUT_MS, needs = [] }: TestOptions = {}) => {
      if (defined) throw new Error(`test "${title}" is defined after its spec "${name}" is complete`);
      if (titles.has(title)) throw new Error(`spec "${name}" has two tests named "${title}"`);
      titles.add(title);
      if (wanted !== undefined && !wanted.test(`${name} ${title}`)) {
        filtered++;
        return;
      }
      const missing = needs.map(unmet).filter((reason) => reason !== undefined);
      if (missing.length > 0 && skippingAllowed()) {
        tellRunner({ type: 'skip', spec: name, title, why: missing.join('; ') });
        process.stdout.write(`skipped "${title}": ${missing.join('; ')}\n`);
        run.skip();
        return;
      }
      run(title, async () => {
        tellRunner({ type: 'start', spec: name, title, timeoutMs });
        const startedMs = performance.now();
        try {
          if (missing.length > 0) throw new Error(`skipping is not allowed here: ${missing.join('; ')}`);
          if (setupError !== undefined) throw setupError;
          await withDeadline(`test "${title}"`, timeoutMs, body);
          tellRunner({ type: 'pass', spec: name, title, ms: performance.now() - startedMs });
        } catch (thrown) {
          failures++;
          const error = errorOf(thrown);
          tellRunner({ type: 'fail', spec: name, title, text: textOf(error) });
          throw error;
        }
      });
    },
    {
      before: (body: Hook) => run.before(hook('before', body)),
      after: (body: Hook) => run.after(hook('after', body)),
    },
  );

  if (options.exclusive) {
    run.before(async () => {
      await machineTurn().catch((error) => {
        setupError = errorOf(error);
      });
    });
  }
  try {
    const returned: unknown = define(test);
    if (returned instanceof Promise) throw new Error(`spec "${name}" defines its tests asynchronously`);
    if (titles.size === 0) throw new Error(`spec "${name}" has no tests`);
  } catch (thrown) {
    failOutside(name, 'definition', errorOf(thrown));
  }
  defined = true;
  tellRunner({ type: 'spec', spec: name, tests: titles.size, filtered });
  run.after(() => {
    specsOpen--;
    if (specsOpen === 0) finish();
  });
  run.run();
}

/**
 * Awaits a promise that must be rejected (uvu's `throws` is for synchronous functions only).
 * @returns what it was rejected with, for further assertions
 */
export async function rejects(promise: Promise<unknown>, expected?: RegExp): Promise<unknown> {
  let value: unknown;
  try {
    value = await promise;
  } catch (error) {
    if (expected !== undefined) assert.match(errorOf(error).message, expected);
    return error;
  }
  throw new Error(`expected a rejection, but the promise gave ${JSON.stringify(value) ?? typeof value}`);
}

/**
 * The seed of this run for tests that draw at random: FINWAIT_TEST_SEED, or a new one. It is printed when the
 * file fails.
 */
export function testSeed(): number {
  seed ??= Number(process.env.FINWAIT_TEST_SEED ?? Math.floor(Math.random() * 2 ** 31));
  return seed;
}

/** Settles with the body, or with an error nobody awaited, or at the deadline, whichever is first. */
async function withDeadline(what: string, timeoutMs: number, body: Body): Promise<void> {
  const abort = new AbortController();
  const { promise: deadline, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => reject(new Error(`${what} did not settle within ${timeoutMs} ms`)),
    timeoutMs,
  );
  failRunning = reject;
  try {
    await Promise.race([deadline, (async () => body({ signal: abort.signal }))()]);
  } catch (error) {
    abort.abort();
    throw error;
  } finally {
    clearTimeout(timer);
    failRunning = undefined;
  }
}

/** uvu takes only errors for failures; anything else that is thrown becomes one. Frames of ours are left out. */
function errorOf(thrown: unknown): Error {
  const error =
    thrown instanceof Error ? thrown : new Error(`threw ${String(thrown)}, which is not an Error`);
  const frames = error.stack?.split('\n') ?? [];
  error.stack = frames.filter((line) => !/test\/harness\.ts|node_modules\/uvu\//.test(line)).join('\n');
  return error;
}

/** What was expected, what was there instead, and where: the runner says it again at its end. */
function textOf(error: Error): string {
  const { details } = error as { details?: unknown };
  const difference = typeof details === 'string' ? stripVTControlCharacters(details).trimEnd() : '';
  const where = error.stack?.split('\n').find((line) => /^ +at .*test\//.test(line)) ?? '';
  return [error.message, difference, where].filter((part) => part !== '').join('\n');
}

/** A failure that belongs to no test: uvu does not know of it, so it is printed here. */
function failOutside(specName: string, title: string, error: Error): void {
  failures++;
  tellRunner({ type: 'fail', spec: specName, title, text: error.message });
  process.stdout.write(`\n   FAIL  ${specName} (${title})\n    ${error.stack ?? error.message}\n`);
  if (error.cause instanceof Error) process.stdout.write(`    cause: ${error.cause.stack}\n`);
}

/** All specs have run: the process must now end by itself. */
function finish(): void {
  tellRunner({ type: 'done' });
  setTimeout(() => {
    // A test that missed its deadline leaves things open; it has been named already.
    if (failures === 0) {
      const open = process.getActiveResourcesInfo();
      failOutside('end of file', 'open handles', new Error(`still open after all tests: ${open.join(', ')}`));
    }
    process.exit(1);
  }, CLOSING_TIME_MS).unref();
}

for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
  process.on(event, (thrown: unknown) => {
    const error = errorOf(thrown);
    if (failRunning === undefined) failOutside('outside any test', event, error);
    else failRunning(error);
  });
}

process.on('exit', () => {
  if (seed !== undefined && failures > 0) process.stdout.write(`  seed: FINWAIT_TEST_SEED=${seed}\n`);
  if (failures > 0 || specsOpen > 0) process.exitCode = 1;
});
