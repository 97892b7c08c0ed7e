/**
 * `finwait COMMAND ...`: finds the command, runs it, turns its outcome into an exit code. A command's code is
 * loaded only when it is asked for.
 */

import { existsSync, writeFileSync } from 'node:fs';
import { enableCompileCache } from 'node:module';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import type { ErrorCode } from '#base/errors.ts';
import { conditionOf, errorLines, FinwaitError } from '#base/errors.ts';
import { requireOpenFiles } from '#base/open-files.ts';
import { nearestName } from '#base/settings.ts';
import { VERSION } from '#base/version.ts';
import { asksForHelp } from './help.ts';
import type { CliIo, RunCommand } from './io.ts';
import { EXIT, processIo, whenOutputEnds } from './io.ts';

interface Command {
  readonly about: string;
  readonly load: () => Promise<RunCommand>;
  /** Has more to end than its own process, so it sees to that itself when its output ends. */
  readonly endsItself?: true;
  /** Asks nothing of this machine. */
  readonly anywhere?: true;
}

const COMMANDS: Readonly<Record<string, Command>> = {
  up: {
    about:
      'watch this machine: sockets, conntrack and handshakes, live in the terminal and as JSON over HTTP',
    load: async () => (await import('./up.ts')).runUp,
    endsItself: true,
  },
  probe: {
    about: 'open and close a TCP connection and show every segment of it, timed, and what is wrong with it',
    load: async () => (await import('./probe.ts')).runProbe,
    endsItself: true,
  },
  sockets: {
    about: 'the TCP sockets of this machine: state, age, process; filtered, sorted, grouped',
    load: async () => (await import('./sockets.ts')).runSockets,
  },
  conntrack: {
    about: "the kernel's TCP flows: state, ends, NAT, time left; how full the table is",
    load: async () => (await import('./conntrack.ts')).runConntrack,
  },
  ports: {
    about: 'local ports in use towards each destination, of those there are; of masqueraded addresses, too',
    load: async () => (await import('./ports.ts')).runPorts,
  },
  compare: {
    about: 'sockets that conntrack does not know, and flows of conntrack that have no socket',
    load: async () => (await import('./compare.ts')).runCompare,
  },
  simulate: {
    about: 'two TCP engines over a network of your choice, in virtual time: what loss, delay and rate do',
    load: async () => (await import('./simulate.ts')).runSimulate,
    anywhere: true,
  },
  agent: {
    about: 'one node: reads its tables, probes, reports to an operator (a DaemonSet runs this)',
    load: async () => (await import('./agent.ts')).runAgentCommand,
    endsItself: true,
  },
  operator: {
    about: 'takes reports, joins them, exports traces and metrics (a Deployment runs this)',
    load: async () => (await import('./operator.ts')).runOperatorCommand,
    endsItself: true,
    anywhere: true,
  },
};

/** Errors that mean the person asked for something that does not exist, rather than something not allowed here. */
const USAGE_ERRORS: ReadonlySet<ErrorCode> = new Set(['USAGE', 'CONFIG_INVALID', 'TARGET_INVALID']);
const OUTCOME_ERRORS: ReadonlySet<ErrorCode> = new Set([
  'NAME_UNRESOLVED',
  'FLOW_NOT_FOUND',
  'SOCKET_NOT_FOUND',
  'OPERATOR_UNREACHABLE',
  'CHILD_DIED',
  'WORKER_DIED',
]);
/** What agent and operator hold open on a quiet machine, and as much again for connections. */
const LEAST_OPEN_FILES = 64;

/** Runs one command line and answers its exit code. */
export async function runCli(args: readonly string[], io: CliIo): Promise<number> {
  const [name, ...rest] = args;
  const command = name !== undefined && Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (command?.endsItself === undefined || asksForHelp(rest)) endWithOutput(io);
  if (name === undefined) {
    io.stderr.write(programHelp());
    return EXIT.usage;
  }
  if (name === 'help' || name === '--help' || name === '-h') {
    const topic = rest[0];
    if (topic !== undefined) return runCli([topic, '--help'], io);
    io.stdout.write(programHelp());
    return EXIT.ok;
  }
  if (name === '--version' || name === '-V') {
    io.stdout.write(`finwait ${VERSION} (node ${process.version})\n`);
    return EXIT.ok;
  }
  try {
    if (command === undefined) throw unknownCommand(name);
    if (!command.anywhere && !asksForHelp(rest)) requireProc();
    if (command.endsItself && !asksForHelp(rest)) requireOpenFiles(LEAST_OPEN_FILES);
    const run = await command.load();
    return await run(rest, io);
  } catch (thrown) {
    const error = outOfResources(thrown) ?? notSetUp(thrown) ?? thrown;
    if (!(error instanceof FinwaitError)) throw error;
    io.stderr.write(`${errorLines(error).join('\n')}\n`);
    // `finwait up` shows what its children say in its own words.
    process.send?.({ type: 'failed', ...conditionOf(error) });
    return exitCodeOf(error.code);
  }
}

function requireProc(): void {
  if (existsSync('/proc/thread-self')) return;
  const hint = 'mount it: mount -t proc proc /proc';
  throw new FinwaitError('UNSUPPORTED_PLATFORM', '/proc is not mounted', hint);
}

/** What the system says, wherever it was asked, when a limit or memory is used up: errno(3). */
function outOfResources(thrown: unknown): FinwaitError | undefined {
  if (!(thrown instanceof Error && 'code' in thrown)) return undefined;
  if (!['EMFILE', 'ENFILE', 'ENOMEM'].includes(String(thrown.code))) return undefined;
  const hint = 'raise the limit of open files (ulimit -n 1024) or of memory, or end other programs';
  return new FinwaitError('RESOURCES_EXHAUSTED', thrown.message, hint, thrown);
}

/** What Node says when a package is missing: an install that was cut short. */
function notSetUp(thrown: unknown): FinwaitError | undefined {
  if (!(thrown instanceof Error && 'code' in thrown)) return undefined;
  if (!['ERR_MODULE_NOT_FOUND', 'MODULE_NOT_FOUND'].includes(String(thrown.code))) return undefined;
  const [, missing] = /Cannot find (?:package|module) '([^']+)'/.exec(thrown.message) ?? [];
  const hint = `run \`node scripts/setup.mjs\` in ${join(import.meta.dirname, '..')} as the owner of that folder`;
  return new FinwaitError('NOT_SET_UP', `${missing ?? 'a package'} is not installed`, hint, thrown);
}

function exitCodeOf(code: ErrorCode): number {
  if (USAGE_ERRORS.has(code)) return EXIT.usage;
  return OUTCOME_ERRORS.has(code) ? EXIT.verdict : EXIT.notAllowed;
}

function unknownCommand(name: string): FinwaitError {
  const close = nearestName(name, Object.keys(COMMANDS));
  const hint =
    close === undefined ? 'run finwait --help for the list of commands' : `did you mean finwait ${close}?`;
  return new FinwaitError('USAGE', `there is no command ${JSON.stringify(name)}`, hint);
}

/** Output that cannot be written ends a one-shot command: a reader that went away (`| head`) without a complaint. */
function endWithOutput(io: CliIo): void {
  whenOutputEnds(io.stdout, (fault) => {
    if (fault !== undefined) io.stderr.write(`${errorLines(fault).join('\n')}\n`);
    process.exit(fault === undefined ? EXIT.ok : exitCodeOf(fault.code));
  });
}

function programHelp(): string {
  const width = Math.max(...Object.keys(COMMANDS).map((name) => name.length));
  return [
    'finwait: finds out why TCP connections do not open, do not close, or pile up',
    '',
    'Usage: finwait COMMAND [arguments]',
    '',
    'Commands:',
    ...Object.entries(COMMANDS).map(([name, { about }]) => `  ${name.padEnd(width)}  ${about}`),
    '',
    'finwait COMMAND --help tells what a command takes. finwait --version tells the version.',
    '',
    'Exit codes: 0 all is well, 1 the answer is bad news, 2 the command line is not understood,',
    '3 this machine does not allow it (the hint says what is missing).',
    '',
  ].join('\n');
}

/** What ps, top, ss and finwait's own tables call this process, where they would say `node`. */
function nameProcess(command: string | undefined): void {
  if (command === undefined || !Object.hasOwn(COMMANDS, command)) return;
  try {
    // The kernel cuts it to 15 bytes. Setting process.title instead would overwrite the command line.
    writeFileSync('/proc/self/comm', `finwait ${command}`);
  } catch {
    // Without a writable /proc it is called what it was.
  }
}

/** Settles when all that was written has left, or cannot leave; what came of it is told a moment later. */
async function written(output: NodeJS.WriteStream): Promise<void> {
  if (output.writableLength > 0) await new Promise<void>((resolve) => void output.write('', () => resolve()));
  await setImmediate();
}

/**
 * Keeps compiled code from start to start, beside the installed packages, which halves the time to the first
 * line. NODE_COMPILE_CACHE, when set, is in force already; a folder that cannot be written is no matter.
 * It is set for threads and children, too: each that strips types itself takes 20 MiB more.
 */
function rememberCompiledCode(): void {
  const packages = join(import.meta.dirname, '../node_modules');
  if (!existsSync(packages)) return;
  const { directory } = enableCompileCache(join(packages, '.cache/compiled'));
  if (directory !== undefined) process.env.NODE_COMPILE_CACHE ??= directory;
}

if (import.meta.main) {
  rememberCompiledCode();
  process.stderr.on('error', () => {});
  nameProcess(process.argv[2]);
  const code = await runCli(process.argv.slice(2), processIo());
  // A pipe takes what was written as fast as its reader reads: what is left would be lost with the process.
  await Promise.all([process.stdout, process.stderr].map(written));
  // A name lookup cannot be called back: it must not hold the process when its answer is of no use any more.
  process.exit(code);
}
