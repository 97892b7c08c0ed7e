/** `finwait simulate SCENARIO`: two engines over a network of one's choice, in virtual time. */

import { writeFileSync } from 'node:fs';
import { FinwaitError } from '#base/errors.ts';
import { nearestName, readSettings } from '#base/settings.ts';
import type { Leg } from '../daemon/netsim/legs.ts';
import { LegLoser } from '../daemon/netsim/legs.ts';
import type { LinkOptions } from '../daemon/netsim/link.ts';
import type { Played, PlayOptions } from '../daemon/netsim/play.ts';
import { play } from '../daemon/netsim/play.ts';
import type { ScenarioName } from '../daemon/netsim/scenarios.ts';
import { limitUsOf, SCENARIOS, sceneOf } from '../daemon/netsim/scenarios.ts';
import type { PacketRecord } from '../daemon/netsim/simulation.ts';
import type { FloodOptions } from '../daemon/netsim/syn-flood.ts';
import type { Side } from '../daemon/netsim/transcript.ts';
import { Transcript } from '../daemon/netsim/transcript.ts';
import type { Profile, ProfileName } from '../daemon/tcp/profile.ts';
import { PROFILES } from '../daemon/tcp/profiles.ts';
import { flagNames } from '../daemon/wire/tcp-header.ts';
import { asksForHelp, helpText } from './help.ts';
import type { CliIo } from './io.ts';
import { EXIT } from './io.ts';
import { FLOOD, floodLines, playFloods } from './simulate-flood.ts';
import { simulationLines } from './simulate-ladder.ts';
import type { CapturedPacket } from './simulate-pcap.ts';
import { pcapFile } from './simulate-pcap.ts';
import type { Sample } from './simulate-plot.ts';
import { plotLines } from './simulate-plot.ts';
import { playMany, runsLines } from './simulate-runs.ts';
import type { SimulateSettings } from './simulate-settings.ts';
import { SIMULATE_SETTINGS } from './simulate-settings.ts';
import { colours, writesUtf8 } from './view-terminal.ts';
import type { Line } from './view-text.ts';
import { count, latency, paintLine, wrap } from './view-text.ts';

const HELP = {
  usage: 'finwait simulate SCENARIO [options]',
  about: [
    "Plays a TCP connection between two of finwait's engines over a network of your choice, in virtual time, and shows",
    'every segment with the states of both ends. The same seed gives the same run. Nothing is sent anywhere.',
    '',
    'Scenarios:',
    ...Object.entries(SCENARIOS).map(([name, { about }]) => `  ${name.padEnd(18)}  ${about}`),
    `  ${FLOOD.name.padEnd(18)}  ${FLOOD.about}`,
  ].join('\n'),
  settings: SIMULATE_SETTINGS,
  examples: [
    ['finwait simulate close --lose SYN-ACK', 'what the loss of one leg costs'],
    ['finwait simulate handshake --loss 3% --runs 10000', 'what 3 % loss does to handshakes'],
    ['finwait simulate congestion --congestion newreno --ecn', 'how the congestion window fares'],
    ['finwait simulate syn-flood --no-cookies', 'who still gets through'],
  ],
} as const;

/** The exit code is 0 when the run came to its end, 1 when it was cut off by --limit. */
export async function runSimulate(args: readonly string[], io: CliIo): Promise<number> {
  if (asksForHelp(args)) {
    io.stdout.write(helpText(HELP));
    return EXIT.ok;
  }
  const { settings, positionals } = readSettings(SIMULATE_SETTINGS, args, io.env);
  const scenario = scenarioOf(positionals);
  const misplaced = misplacedSetting(scenario, settings);
  if (misplaced !== undefined) throw new FinwaitError('USAGE', misplaced, 'leave it out');
  if (scenario === FLOOD.name) return simulateFlood(settings, io);
  if (settings.runs !== undefined) return simulateMany(scenario, settings, settings.runs, io);
  return simulateOne(scenario, settings, io);
}

/** What is asked for that this scenario, or many runs, cannot give. */
function misplacedSetting(
  scenario: ScenarioName | typeof FLOOD.name,
  { pcap, runs, floodRate, noCookies, bytes }: SimulateSettings,
): string | undefined {
  if (pcap !== '' && runs !== undefined) return '--pcap is for one run, not for --runs';
  if (scenario !== FLOOD.name) {
    if (floodRate !== undefined) return `--flood is for ${FLOOD.name}, not for ${scenario}`;
    if (noCookies) return `--no-cookies is for ${FLOOD.name}, not for ${scenario}`;
  }
  const sends = scenario !== FLOOD.name && sceneOf(scenario).client.sends !== undefined;
  return bytes === undefined || sends ? undefined : `--bytes: in ${scenario} the client sends nothing`;
}

function simulateMany(scenario: ScenarioName, settings: SimulateSettings, runs: number, io: CliIo): number {
  const result = playMany(runs, settings.seed, (seed) => optionsOf(scenario, settings, seed));
  if (settings.json)
    io.stdout.write(`${JSON.stringify({ scenario, seed: settings.seed, ...result }, undefined, 2)}\n`);
  else writeLines(io, runsLines(scenario, result));
  return result.finished === runs ? EXIT.ok : EXIT.verdict;
}

function simulateFlood(settings: SimulateSettings, io: CliIo): number {
  const { seed, runs = 1, pcap, json, floodRate = FLOOD.rate } = settings;
  const captured: CapturedPacket[] = [];
  const floods = playFloods(
    runs,
    seed,
    (one): FloodOptions => ({
      ...commonOf(settings, one, new LegLoser(settings.lose)),
      rate: floodRate,
      ...(pcap === '' ? {} : { onPacket: (record) => captured.push(capturedPacket(record)) }),
    }),
  );
  if (pcap !== '') writeCapture(pcap, captured);
  if (json) io.stdout.write(`${JSON.stringify({ scenario: FLOOD.name, seed, ...floods }, undefined, 2)}\n`);
  else writeLines(io, floodLines(floods, seed));
  return EXIT.ok;
}

function capturedPacket({ atUs, packet }: PacketRecord): CapturedPacket {
  return { atUs, packet: packet.slice() };
}

function simulateOne(scenario: ScenarioName, settings: SimulateSettings, io: CliIo): number {
  const transcript = new Transcript();
  const captured: CapturedPacket[] = [];
  const samples: Sample[] = [];
  const loser = new LegLoser(settings.lose);
  const played = play({
    ...optionsOf(scenario, settings, settings.seed, loser),
    onPacket(record) {
      transcript.packet(record);
      if (settings.pcap !== '') captured.push(capturedPacket(record));
    },
    onEvent: (side, event, info) => transcript.event(side, event, info),
    onInfo({ cwnd, pipe }, atUs) {
      if (cwnd !== undefined) samples.push({ atUs, cwnd, flight: pipe });
    },
  });
  if (settings.pcap !== '') writeCapture(settings.pcap, captured);
  const moments = transcript.moments();
  const { plotted = false } = sceneOf(scenario);
  if (settings.json) {
    const data = moments.map(({ segment, ...moment }) =>
      segment === undefined
        ? moment
        : { ...moment, segment: { ...segment, flags: flagNames(segment.flags) } },
    );
    const plot = plotted ? { samples } : {};
    io.stdout.write(
      `${JSON.stringify({ scenario, seed: settings.seed, ...played, moments: data, ...plot }, undefined, 2)}\n`,
    );
  } else {
    writeLines(io, [
      ...simulationLines(moments, io.columns),
      ...(plotted ? [[], ...plotLines(samples, io.columns)] : []),
      [],
      ...summary(scenario, settings, played, loser.left(), io.columns),
    ]);
  }
  return played.finished ? EXIT.ok : EXIT.verdict;
}

/** @param unlost legs that were to be lost and never came */
function summary(
  scenario: ScenarioName,
  { seed }: SimulateSettings,
  played: Played,
  unlost: readonly Leg[],
  columns = Number.POSITIVE_INFINITY,
): Line[] {
  const { clientOpenUs, reopenUs, arrivedUs, endUs, ends, endsUs, states, received, finished } = played;
  const still = (side: Side): string => {
    const [end, atUs] = [ends[side], endsUs[side]];
    return end === undefined || atUs === undefined
      ? `the ${side} is in ${states[side]}`
      : `the ${side} is gone after ${latency(atUs)} (${end})`;
  };
  const parts = [
    clientOpenUs === undefined
      ? 'the client never opened'
      : `the client was open after ${latency(clientOpenUs)}`,
    ...(received.server > 0
      ? [
          `the server read ${count(received.server)} bytes${arrivedUs === undefined ? '' : `, all after ${latency(arrivedUs)}`}`,
        ]
      : []),
    ...(received.client > 0 ? [`the client read ${count(received.client)} bytes`] : []),
    ...(reopenUs === undefined ? [] : [`the next connection was open after ${latency(reopenUs)}`]),
    endUs === undefined
      ? `at the end ${still('client')} and ${still('server')}`
      : `all gone after ${latency(endUs)} (client ${ends.client}, server ${ends.server ?? 'never open'})`,
    ...(unlost.length > 0 ? [`--lose: no ${unlost.join(', no ')} was sent that could be lost`] : []),
    ...(finished ? [] : ['cut off by --limit']),
  ];
  const title = `${scenario}, seed ${seed}: `;
  const [first = '', ...more] = wrap(`${title}${parts.join('; ')}`, columns);
  return [
    [{ text: first.slice(0, title.length), style: 'bold' }, { text: first.slice(title.length) }],
    ...more.map((text): Line => [{ text }]),
  ];
}

function optionsOf(
  scenario: ScenarioName,
  settings: SimulateSettings,
  seed: number,
  loser = new LegLoser(settings.lose),
): PlayOptions {
  const { bytes, limitMs } = settings;
  return {
    ...commonOf(settings, seed, loser),
    scenario,
    bytes,
    limitUs: limitMs === undefined ? limitUsOf(scenario) : limitMs * 1000,
  };
}

/** The network, and who is at its ends. */
function commonOf(settings: SimulateSettings, seed: number, loser: LegLoser) {
  const { loss, delayMs, jitterMs, bitsPerSecond, queueBytes, duplicate, reorder, corrupt } = settings;
  const { mtu, profile, serverProfile = profile, ecn } = settings;
  const delayUs = delayMs * 1000;
  return {
    seed,
    mtu,
    profiles: { client: profileOf(profile, settings), server: profileOf(serverProfile, settings) },
    link: (from: Side | 'flood'): LinkOptions => ({
      delayUs,
      jitterUs: jitterMs * 1000,
      loss,
      duplicate,
      reorder,
      reorderUs: Math.max(1000, 2 * delayUs),
      corrupt,
      queueBytes,
      ...(ecn ? { markBytes: queueBytes / 2 } : {}),
      ...(bitsPerSecond === undefined ? {} : { bitsPerSecond }),
      ...(from === 'flood' ? {} : { lose: (packet) => loser.loses(from, packet) }),
    }),
  };
}

function profileOf(name: ProfileName, { congestion, ecn, noCookies }: SimulateSettings): Profile {
  return {
    ...PROFILES[name],
    ...(congestion === undefined ? {} : { congestion }),
    ...(ecn ? { ecn: 'on' } : {}),
    ...(noCookies ? { synCookies: 'off' } : {}),
  };
}

function scenarioOf(positionals: readonly string[]): ScenarioName | typeof FLOOD.name {
  const [name, ...rest] = positionals;
  const names = [...(Object.keys(SCENARIOS) as ScenarioName[]), FLOOD.name];
  const found = names.find((each) => each === name);
  if (found !== undefined && rest.length === 0) return found;
  const what =
    name === undefined
      ? 'no scenario is given'
      : rest.length > 0
        ? 'one scenario is played at a time'
        : `there is no scenario ${JSON.stringify(name)}`;
  const near = name === undefined ? undefined : nearestName(name, names);
  const hint =
    near === undefined || found !== undefined ? `give one of ${names.join(', ')}` : `did you mean ${near}?`;
  throw new FinwaitError('USAGE', what, hint);
}

/** @throws FinwaitError FILE_UNWRITABLE */
function writeCapture(path: string, packets: readonly CapturedPacket[]): void {
  try {
    writeFileSync(path, pcapFile(packets));
  } catch (error) {
    throw new FinwaitError(
      'FILE_UNWRITABLE',
      `the capture cannot be written to ${path}`,
      'give --pcap a file in a directory that you may write to',
      error,
    );
  }
}

function writeLines(io: CliIo, lines: readonly Line[]): void {
  const columns = io.columns === undefined ? {} : { columns: io.columns };
  const paint = { colour: io.isTTY && colours(io.env), unicode: writesUtf8(io.env), ...columns };
  io.stdout.write(lines.map((line) => `${paintLine(line, paint).trimEnd()}\n`).join(''));
}
