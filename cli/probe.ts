/** `finwait probe`: one-shot probes of targets, their ladders and verdicts. */

import { setTimeout as sleep } from 'node:timers/promises';
import { FinwaitError } from '#base/errors.ts';
import { readSettings } from '#base/settings.ts';
import type { Family, ProbeResult, ProbeTarget } from '#contract';
import type { EngineHandle } from '../daemon/threads/engine-client.ts';
import { startEngine } from '../daemon/threads/engine-client.ts';
import type { CommandHelp } from './help.ts';
import { asksForHelp, helpText } from './help.ts';
import type { CliIo } from './io.ts';
import { EXIT } from './io.ts';
import { openProbeExport } from './probe-export.ts';
import { withListener } from './probe-listener.ts';
import type { ProbePrinter } from './probe-output.ts';
import { probePrinter } from './probe-output.ts';
import type { ProbeSettings } from './probe-settings.ts';
import { PROBE_SETTINGS } from './probe-settings.ts';
import { listenForSignals } from './probe-signals.ts';
import type { NamedTarget } from './probe-target.ts';
import { parseTarget } from './probe-target.ts';
import type { Waiting } from './probe-waiting.ts';
import { waitingLine } from './probe-waiting.ts';

const HELP: CommandHelp = {
  usage: 'finwait probe HOST:PORT [HOST:PORT ...] [options]',
  about: [
    'Opens a TCP connection with an engine of its own on a TUN device, sends what --send says, closes it, and',
    'prints every segment with its time, then the verdict: who refused, dropped, reset or does not close.',
    'HOST is a name or an address, PORT a number or a service: 10.0.0.1:80, [::1]:443, db:postgresql, http://web/',
  ].join('\n'),
  settings: PROBE_SETTINGS,
  examples: [
    ['finwait probe localhost:ssh', 'a listener of this machine'],
    ['finwait probe db:5432 cache:6379 --quiet', 'only the verdicts of two targets'],
    [
      "finwait probe web:80 --send 'HEAD / HTTP/1.0\\r\\n\\r\\n'",
      'with a request, until the first byte of the answer',
    ],
    ['finwait probe web:80 --all --json', 'every address of a name, one JSON document a line'],
    ['finwait probe web:80 --profile freebsd', 'with a SYN as FreeBSD sends it'],
    ['finwait probe web:80 -c 100 -i 200ms -q', 'a hundred times, then a summary'],
  ],
  notes: [
    [
      'Exit codes: 0 every target was opened and closed, 1 another verdict or no address, 2 the command line is not',
      'understood, 3 this machine does not allow it, 130 interrupted.',
    ].join('\n'),
    [
      'With OTEL_EXPORTER_OTLP_ENDPOINT set, each probe is exported as a trace, whose id is printed.',
      'It needs /dev/net/tun and the capability NET_ADMIN (and NET_RAW for listeners on ::1 alone).',
    ].join('\n'),
  ],
};

const CONCURRENT_TARGETS = 16;

export async function runProbe(args: readonly string[], io: CliIo): Promise<number> {
  if (asksForHelp(args)) {
    io.stdout.write(helpText(HELP));
    return EXIT.ok;
  }
  const { settings, positionals } = readSettings(PROBE_SETTINGS, args, io.env);
  const targets = parseTargets(positionals);
  if (settings.ipv4 && settings.ipv6) {
    throw new FinwaitError(
      'USAGE',
      '-4 and -6 exclude each other',
      'give one of them, or neither for both families',
    );
  }
  const printer = probePrinter(settings, io);
  for (const { hint } of targets) if (hint !== undefined) printer.note(hint);

  using signals = listenForSignals(io.stdout);
  const exporting = await openProbeExport(io);
  const engine = startEngine({
    device: settings.device || 'finwait0',
    deviceExact: settings.device !== '',
    ...(settings.prefixV4 === '' ? {} : { prefixV4: settings.prefixV4 }),
    ...(settings.prefixV6 === '' ? {} : { prefixV6: settings.prefixV6 }),
    mtu: settings.mtu,
    profile: settings.profile,
    allowForwarding: settings.allowForwarding,
    footprint: settings.footprint,
    stateDir: '', // where the agent on this machine has it, too
  });
  const waiting = waitingLine(io, settings);
  let allOpen: boolean;
  try {
    await engine.ready;
    const onResult = (probed: ProbeResult) => {
      const result = withListener(probed);
      const { conditions } = engine.snapshot();
      const reason = conditions.find(({ message }) => message === result.sentence);
      waiting.clear();
      printer.result(result, reason?.hint);
      exporting.record(result);
    };
    const rounds = { printer, waiting, onResult, signal: signals.signal };
    const run = probeRounds(engine, targets, settings, rounds);
    allOpen = await Promise.race([run, engine.died.then((error) => Promise.reject(error))]);
    printer.end(engine.snapshot().conditions);
  } finally {
    await engine.stop();
    await exporting.close();
  }
  if (signals.fault !== undefined) throw signals.fault;
  return signals.exitCode ?? (allOpen ? EXIT.ok : EXIT.verdict);
}

/** @throws FinwaitError with every target that is not understood */
function parseTargets(texts: readonly string[]): NamedTarget[] {
  if (texts.length === 0) {
    throw new FinwaitError(
      'USAGE',
      'no target is given',
      'give HOST:PORT, such as finwait probe localhost:22',
    );
  }
  const [host, port] = texts;
  if (texts.length === 2 && /^\d+$/.test(port ?? '') && !/:/.test(host ?? ':')) {
    throw new FinwaitError(
      'TARGET_INVALID',
      `"${host}" and "${port}" are two targets`,
      `did you mean ${host}:${port}?`,
    );
  }
  return texts.map((text) => parseTarget(text));
}

interface Rounds {
  readonly printer: ProbePrinter;
  readonly waiting: Waiting;
  readonly onResult: (result: ProbeResult) => void;
  readonly signal: AbortSignal;
}

/** Probes all targets as often as asked for; true when each time each of them was open. */
async function probeRounds(
  engine: EngineHandle,
  targets: readonly NamedTarget[],
  settings: ProbeSettings,
  rounds: Rounds,
): Promise<boolean> {
  const { signal } = rounds;
  let allOpen = true;
  for (let round = 0; round < settings.count && !signal.aborted; round++) {
    const nextMs = performance.now() + settings.intervalMs;
    allOpen = (await probeTargets(engine, targets, settings, rounds)) && allOpen;
    const waitMs = nextMs - performance.now();
    if (round + 1 < settings.count && waitMs > 0) await sleep(waitMs, undefined, { signal }).catch(() => {});
  }
  return allOpen;
}

/** Each target once, some at the same time; their results are printed in the order they end. */
async function probeTargets(
  engine: EngineHandle,
  targets: readonly NamedTarget[],
  settings: ProbeSettings,
  rounds: Rounds,
): Promise<boolean> {
  const waiting = [...targets];
  let allOpen = true;
  const lane = async () => {
    for (let next = waiting.shift(); next !== undefined && !rounds.signal.aborted; next = waiting.shift()) {
      allOpen = (await probeTarget(engine, next, settings, rounds)) && allOpen;
    }
  };
  await Promise.all(Array.from({ length: Math.min(CONCURRENT_TARGETS, targets.length) }, lane));
  return allOpen;
}

async function probeTarget(
  engine: EngineHandle,
  target: NamedTarget,
  settings: ProbeSettings,
  { printer, waiting, onResult, signal }: Rounds,
): Promise<boolean> {
  const family: Family | undefined = settings.ipv4 ? 4 : settings.ipv6 ? 6 : undefined;
  try {
    const options = { every: settings.all, onResult, signal, ...(family === undefined ? {} : { family }) };
    const results = await waiting.during(engine.probe(probeTargetOf(target, settings), options));
    const good = ({ verdict }: ProbeResult) => verdict === 'open';
    // Without --all the last address is the one that a client would have ended up with.
    return settings.all ? results.every(good) : results.slice(-1).some(good);
  } catch (error) {
    if (!(error instanceof FinwaitError) || error.code !== 'NAME_UNRESOLVED') throw error;
    printer.fault(target.name, error);
    return false;
  }
}

function probeTargetOf({ name, host, port }: NamedTarget, settings: ProbeSettings): ProbeTarget {
  const { connectMs, exchangeMs, closeMs, intervalMs, send } = settings;
  return {
    name,
    host,
    port,
    origin: 'user',
    intervalMs,
    limits: { connectMs, exchangeMs, closeMs },
    ...(send === '' ? {} : { send }),
  };
}
