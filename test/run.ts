/**
 * `npm test`: every file named *.test.ts under test/, one process each, as many at a time as there are cores.
 * `npm test -- PATH... --test-name PATTERN` runs the files whose path contains a PATH and the tests whose name
 * matches. The last line is `N passed, N failed, N skipped`; the exit code is 0 only when nothing failed.
 */

import { readdirSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, relative } from 'node:path';
import { parseArgs, styleText } from 'node:util';
import type { FileOutcome } from './support/run-file.ts';
import { endRunningFiles, runTestFile } from './support/run-file.ts';

const ROOT = join(import.meta.dirname, '..');

/** What the summary says of each failure; all of it stands above. */
const SUMMARY_LINES = 20;
const SUMMARY_COLUMNS = 300;

const HELP = `npm test -- [PATH...] [options]
  PATH                run only the files whose path contains it (test/ and .test.ts may be left out)
  --test-name REGEX   run only the tests whose spec and title match
  --jobs N            files at a time (default: the number of cores)
  --verbose           print what passing files printed, too
Environment: FINWAIT_TEST_SEED=N repeats a run's random draws; FINWAIT_TEST_NO_SKIP=1 or CI=true turns skips into failures.`;

function paint(style: Parameters<typeof styleText>[0], text: string): string {
  return styleText(style, text, { stream: process.stdout });
}

function discover(paths: readonly string[]): string[] {
  return readdirSync(join(ROOT, 'test'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.test.ts') && !name.startsWith('fixtures/'))
    .map((name) => join('test', name))
    .filter(
      (name) => paths.length === 0 || paths.some((path) => name.includes(relative(ROOT, join(ROOT, path)))),
    )
    .sort();
}

/** Whether the file says it uses what the whole machine shares (SpecOptions.exclusive). */
function isExclusive(file: string): boolean {
  return /\bexclusive: true\b/.test(readFileSync(join(ROOT, file), 'utf8'));
}

function report(outcome: FileOutcome, verbose: boolean): void {
  const { file, passed, failures, skipped, ms } = outcome;
  const counts = [
    `${passed} passed`,
    ...(failures.length > 0 ? [paint('red', `${failures.length} failed`)] : []),
    ...(skipped.length > 0 ? [paint('yellow', `${skipped.length} skipped`)] : []),
  ];
  const mark = failures.length > 0 ? paint('red', 'FAIL') : paint('green', 'ok  ');
  console.log(`${mark} ${file.padEnd(52)} ${counts.join(', ')} (${(ms / 1000).toFixed(1)} s)`);
  if (failures.length > 0 || verbose) {
    const text = outcome.output.trimEnd();
    if (text !== '') console.log(text.replace(/^/gm, '     | '));
  }
  for (const { title, text } of failures) {
    // uvu has shown the failures of tests; what lies outside them only the runner knows.
    if (!outcome.output.includes(text.split('\n')[0] ?? '')) console.log(`     ${title}: ${text}`);
  }
}

async function runAll(files: readonly string[], jobs: number, verbose: boolean): Promise<FileOutcome[]> {
  const outcomes: FileOutcome[] = [];
  const runOne = async (file: string) => {
    const outcome = await runTestFile(file);
    outcomes.push(outcome);
    report(outcome, verbose);
  };
  const queue = files.filter((file) => !isExclusive(file));
  const worker = async () => {
    for (let file = queue.shift(); file !== undefined; file = queue.shift()) await runOne(file);
  };
  await Promise.all(Array.from({ length: jobs }, worker));
  for (const file of files.filter(isExclusive)) await runOne(file);
  return outcomes;
}

/** Says what was skipped and why, once for each reason, where nobody overlooks it. */
function reportSkips(outcomes: readonly FileOutcome[]): void {
  const skips = outcomes.flatMap(({ file, skipped }) => skipped.map((skip) => ({ file, ...skip })));
  if (skips.length === 0) return;
  console.log(paint(['yellow', 'bold'], `\nSKIPPED: ${skips.length} tests did not run on this machine`));
  for (const [why, group = []] of Object.entries(Object.groupBy(skips, (skip) => skip.why))) {
    console.log(`  ${why}`);
    for (const { file, title } of group) console.log(`    ${file}: ${title}`);
  }
}

function reportFailures(outcomes: readonly FileOutcome[]): void {
  const failed = outcomes.filter(({ failures }) => failures.length > 0);
  if (failed.length === 0) return;
  console.log(paint(['red', 'bold'], '\nFAILED'));
  for (const { file, failures } of failed) {
    for (const { title, text } of failures) {
      const lines = text.split('\n').slice(0, SUMMARY_LINES);
      console.log(`  ${file}: ${title}`);
      for (const line of lines) console.log(`    ${line.slice(0, SUMMARY_COLUMNS)}`);
    }
  }
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    options: {
      'test-name': { type: 'string' },
      jobs: { type: 'string', default: String(availableParallelism()) },
      verbose: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
    allowPositionals: true,
  });
  if (values.help) {
    console.log(HELP);
    return 0;
  }
  process.chdir(ROOT);
  if (values['test-name'] !== undefined) process.env.FINWAIT_TEST_NAME = values['test-name'];
  const files = discover(positionals);
  const outcomes = await runAll(files, Math.max(1, Number(values.jobs) || 1), values.verbose);

  const passed = outcomes.reduce((sum, outcome) => sum + outcome.passed, 0);
  const skipped = outcomes.reduce((sum, outcome) => sum + outcome.skipped.length, 0);
  let failed = outcomes.reduce((sum, outcome) => sum + outcome.failures.length, 0);
  reportSkips(outcomes);
  reportFailures(outcomes);
  if (passed + failed + skipped === 0) {
    const asked = [...positionals, ...(values['test-name'] === undefined ? [] : [values['test-name']])];
    console.log(paint('red', `no test matches ${asked.join(' ')}`));
    failed = 1;
  }
  console.log(`\n${passed} passed, ${failed} failed, ${skipped} skipped`);
  return failed === 0 ? 0 : 1;
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    endRunningFiles();
    process.exit(130);
  });
}
process.exitCode = await main();
