/** `finwait up`: agent and operator of this machine, and the live view of what they find. */

import { setTimeout as delay } from 'node:timers/promises';
import { FinwaitError } from '#base/errors.ts';
import type { HostPort } from '#base/host-port.ts';
import { parseHostPort } from '#base/host-port.ts';
import { readSettings } from '#base/settings.ts';
import type { CommandHelp } from './help.ts';
import { asksForHelp, helpText } from './help.ts';
import type { CliIo } from './io.ts';
import { EXIT } from './io.ts';
import { launcherOf, whenLauncherEnds } from './up-launcher.ts';
import { openLogFile } from './up-log.ts';
import { checkPlatform, checkPortFree } from './up-machine.ts';
import { makeRunDirectory, markOf, removeLeftovers, removeRunDirectory, runtimeBase } from './up-runtime.ts';
import type { Session, SessionConfig } from './up-session.ts';
import { startSession } from './up-session.ts';
import type { UpSettings } from './up-settings.ts';
import { UP_SETTINGS } from './up-settings.ts';
import { untilAskedToEnd } from './up-signals.ts';
import type { ViewModel } from './view-model.ts';
import { nodeOf } from './view-model.ts';
import type { Show } from './view-show.ts';
import { jsonShow, lineShow, liveShow, reportShow } from './view-show.ts';

const UP_HELP: CommandHelp = {
  usage: 'finwait up [HOST:PORT ...] [options]     (npm start -- [HOST:PORT ...] [options])',
  about: [
    'Watches this machine: runs agent and operator as a cluster runs them, reads the socket and conntrack tables,',
    'probes what listens here and the targets given, and shows it live in the terminal and as JSON over HTTP.',
  ].join('\n'),
  settings: UP_SETTINGS,
  examples: [
    ['finwait up', 'this machine and what listens on it'],
    ['finwait up db:5432 [::1]:8080', 'and two targets, an IPv6 address in brackets'],
    ['finwait up -A', 'also what containers and pods hold'],
    ['finwait up --once', 'one full report, and the end'],
    ['finwait up | tee finwait.log', 'plain lines: everything once, then what changes'],
    ['finwait up --json --once | jq .nodes', 'the same as data'],
  ],
  notes: [
    'Without root it shows what may be seen and says what is missing. With OTEL_EXPORTER_OTLP_ENDPOINT set, each\n' +
      'probe is sent as a trace and the counts as metrics (and the other OTEL_ variables hold).',
    'On a terminal: q or Ctrl-C ends it, Ctrl-Z suspends it. It leaves nothing behind.',
    'Exit codes: 0 ended as asked, 1 agent or operator could not be kept running, 2 usage, 3 not possible here.',
  ],
};

/** Time agent and operator get for an orderly end. */
const GRACE_MS = 5000;
/** While something is still awaited, the operator is asked this often. */
const EAGER_MS = 250;
/** What a first round may take beyond the limits of a probe. */
const FIRST_ROUND_MS = 15_000;

export async function runUp(args: readonly string[], io: CliIo): Promise<number> {
  if (asksForHelp(args)) {
    io.stdout.write(helpText(UP_HELP));
    return EXIT.ok;
  }
  const { settings, positionals } = readSettings(UP_SETTINGS, args, io.env);
  if (settings.observe && settings.allNamespaces) throw observesItself();
  const targets = readTargets(positionals);
  checkPlatform(process.platform, process.versions.node);
  const mark = markOf(process.pid);
  if (mark === undefined) throw new FinwaitError('UNSUPPORTED_PLATFORM', '/proc is not mounted', 'mount it');
  const base = runtimeBase(process.getuid?.() ?? 0, io.env);
  removeLeftovers(base);
  await checkPortFree(settings.webPort);
  const log = openLogFile(settings.logFile);
  const directory = makeRunDirectory(base, mark);
  const removeDirectory = () => removeRunDirectory(directory);
  process.on('exit', removeDirectory);
  try {
    return await watch({ settings, targets, directory, log, env: io.env }, io);
  } finally {
    removeDirectory();
    process.off('exit', removeDirectory);
  }
}

/** Runs a session and shows it until asked to end, until the show is over, or until a child is given up. */
async function watch(config: SessionConfig, io: CliIo): Promise<number> {
  const { settings } = config;
  const session = startSession(config);
  using ending = untilAskedToEnd(io.stdout, () => session.kill());
  using _launcher = whenLauncherEnds(launcherOf(process.pid), ending.ask);
  const show = chooseShow(settings, io, ending.ask);
  try {
    await Promise.race([ending.asked, session.failed, showUntilDone(session, show, settings, ending.signal)]);
  } finally {
    ending.ask();
    show.end();
    await session.stop(GRACE_MS);
  }
  if (ending.fault !== undefined) throw ending.fault;
  return EXIT.ok;
}

async function showUntilDone(
  session: Session,
  show: Show,
  settings: UpSettings,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    const model = await session.look();
    if (signal.aborted) return;
    if (show.update(model)) return requireReport(model);
    const waitMs = (model.overview?.nodes.length ?? 0) === 0 ? EAGER_MS : settings.refreshMs;
    await delay(waitMs, undefined, { signal }).catch(() => {});
  }
}

/** @throws FinwaitError CHILD_DIED or OPERATOR_UNREACHABLE when a show ends that has had nothing to show */
function requireReport(model: ViewModel): void {
  if (nodeOf(model) !== undefined) return;
  const [fault] = model.conditions;
  if (fault !== undefined) throw new FinwaitError(fault.code, fault.message, fault.hint);
  throw new FinwaitError(
    'OPERATOR_UNREACHABLE',
    'no report of the agent came in time',
    'start it again with --log-file FILE --log-level debug and look at that file',
  );
}

function chooseShow(settings: UpSettings, io: CliIo, onQuit: () => void): Show {
  const deadlineMs = Date.now() + settings.connectTimeoutMs + settings.closeTimeoutMs + FIRST_ROUND_MS;
  if (settings.json) return jsonShow(io, settings.once, deadlineMs);
  if (settings.once) return reportShow(io, deadlineMs);
  const { stdout, stdin } = process;
  const live = io.stdout === stdout && io.isTTY && io.env.TERM !== 'dumb' && !settings.plain;
  if (!live) return lineShow(io, settings.statusIntervalMs);
  return liveShow({ output: stdout, input: stdin.isTTY ? stdin : undefined }, io, onQuit);
}

function observesItself(): FinwaitError {
  return new FinwaitError(
    'USAGE',
    '--observe and --all-namespaces exclude each other',
    'leave one out: finwait sockets -A reads all network namespaces and probes nothing',
  );
}

/** @throws FinwaitError TARGET_INVALID with every argument that is none */
function readTargets(positionals: readonly string[]): HostPort[] {
  const parsed = positionals.map((text) => ({ text, target: parseHostPort(text) }));
  const problems = parsed.flatMap(({ text, target }) =>
    target.ok ? [] : [`${JSON.stringify(text)} ${target.reason}`],
  );
  if (problems.length > 0) {
    const hint = 'write a target as HOST:PORT, such as db.example:5432, 10.0.0.7:80 or [::1]:8080';
    throw new FinwaitError('TARGET_INVALID', problems.join('; '), hint);
  }
  return parsed.flatMap(({ target }) => (target.ok ? [target.value] : []));
}
