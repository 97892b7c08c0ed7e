/** `finwait compare`: sockets that conntrack does not know, and flows of conntrack without a socket; needs no agent. */

import { setTimeout as sleep } from 'node:timers/promises';
import type { Condition } from '#base/errors.ts';
import { hostPortText } from '#base/host-port.ts';
import type { Settings } from '#base/settings.ts';
import { durationMs, readSettings } from '#base/settings.ts';
import type { Divergence, DivergentState } from '#contract';
import { noNetlinkFaults } from '../daemon/kernel/netlink-socket.ts';
import { Conntrack } from '../daemon/track/conntrack.ts';
import { Comparison } from '../daemon/track/divergence.ts';
import { divergenceOf } from '../daemon/track/findings.ts';
import type { CommandHelp } from './help.ts';
import { asksForHelp, helpText, refusePositionals } from './help.ts';
import type { CliIo } from './io.ts';
import { EXIT } from './io.ts';
import { chosenPlace, inside, PLACE_SETTINGS } from './place.ts';
import { SocketsReader } from './sockets-reader.ts';
import type { Printed, TableColumn } from './table.ts';
import {
  incompleteAnswer,
  printConditions,
  printJson,
  printTable,
  requireConntrack,
  TABLE_SETTINGS,
} from './table.ts';
import { age, count } from './view-text.ts';
import { WATCH_SETTINGS, watching } from './watch.ts';

const { output, json, noHeader } = TABLE_SETTINGS;

export const COMPARE_SETTINGS = {
  pause: {
    name: 'pause',
    placeholder: 'DURATION',
    doc: 'time between the two readings: what is missing must be missing in both',
    default: 1_000,
    defaultText: '1s',
    parse: durationMs(100, 3_600_000),
  },
  ...PLACE_SETTINGS,
  ...WATCH_SETTINGS,
  output,
  json,
  noHeader,
} as const;

const HELP: CommandHelp = {
  usage: 'finwait compare [options]',
  about: [
    "Compares the sockets of this network namespace, or of that given, with conntrack's flows there, twice. A socket whose",
    'flow conntrack has forgotten loses its packets where rules drop what is invalid. A flow without a socket takes room',
    'in the table; flows that only pass through are left out.',
  ].join('\n'),
  settings: COMPARE_SETTINGS,
  examples: [
    ['finwait compare', 'what one of them has and the other has not'],
    ['finwait compare --pause 10s --json', 'the same with more patience, as data'],
    ['finwait compare --pod default/web --watch', 'in the namespace of a pod, again and again'],
  ],
  notes: [
    'Needs CAP_NET_ADMIN. OLDEST with + is at least so: as long as nothing came, or as this command runs; the agent, which\n' +
      'follows both tables, knows better. docs/tables.md says what is not compared, and lists the fields of the JSON.',
  ],
};

/** The queue of conntrack's events holds some 52,000 of them. */
const FOLLOW_MS = 50;

/** A state of one of the tables, as `--json` prints it. */
interface CompareRow extends DivergentState {
  readonly missing: 'flow' | 'socket';
}

export async function runCompare(args: readonly string[], io: CliIo): Promise<number> {
  if (asksForHelp(args)) {
    io.stdout.write(helpText(HELP));
    return EXIT.ok;
  }
  const { settings, positionals } = readSettings(COMPARE_SETTINGS, args, io.env);
  refusePositionals(positionals);
  const faults = noNetlinkFaults();
  const conditions: Condition[] = [];
  using conntrack = new Conntrack({ faults });
  const comparison = new Comparison();
  const place = chosenPlace(settings);
  const reader = new SocketsReader(place === undefined ? 'own' : [place]);
  const compare = () => {
    conditions.length = 0;
    const { namespaces, dropped } = reader.read();
    const [namespace] = namespaces;
    if (namespace === undefined) throw new Error('one namespace is read');
    const { table: sockets } = namespace;
    conntrack.readAnew();
    conntrack.sweep(conditions);
    const { table: flows, knownMs, disbelief } = conntrack;
    const tables = { sockets, flows, knownMs, disbelief };
    const divergence = divergenceOf(comparison, tables, () => conntrack.follow(), performance.now());
    return { divergence, dropped };
  };
  inside(place, compare);
  // Between two looks there may come more events than wait for a reader.
  using _following = setInterval(() => conntrack.follow(), FOLLOW_MS);
  await sleep(settings.pause);
  return await watching(io, settings, async () => {
    const { divergence, dropped } = inside(place, compare);
    requireConntrack(conditions);
    await print(io, settings, divergence);
    const missed = dropped + faults.truncated + faults.undecodable;
    printConditions(io, [...conditions, ...incompleteAnswer(missed)]);
  });
}

async function print(
  io: CliIo,
  settings: Settings<typeof COMPARE_SETTINGS>,
  divergence: Divergence,
): Promise<void> {
  if (settings.json || settings.output === 'json') {
    await printJson(io, [{ ...divergence }], settings);
    return;
  }
  await printTable(io, compared(divergence, settings.output === 'wide'), settings);
}

/** What is printed of a comparison. @param wide with what is left of every connection for a while */
export function compared(divergence: Divergence, wide: boolean): Printed<CompareRow> {
  const all: readonly CompareRow[] = [
    ...divergence.socketsWithoutFlow.map((state) => ({ missing: 'flow' as const, ...state })),
    ...divergence.flowsWithoutSocket.map((state) => ({ missing: 'socket' as const, ...state })),
  ];
  const rows = all.filter((row) => wide || !isUsual(row));
  const usual = all.filter((row) => !rows.includes(row)).reduce((sum, row) => sum + row.count, 0);
  const texts = [
    ...(['flow', 'socket'] as const)
      .filter((missing) => rows.some((row) => row.missing === missing))
      .map((missing) => MEANING[missing]),
    ...(usual === 0
      ? []
      : [`${count(usual)} flows of connections that have ended, as usual: -o wide shows them`]),
    ...footerOf(divergence),
  ];
  return { columns: COLUMNS, rows, footer: texts.map((text) => [{ text, style: 'dim' }]) };
}

const MEANING: Readonly<Record<CompareRow['missing'], string>> = {
  flow: 'missing flow: conntrack has forgotten the connection, its next packet is invalid, and lost where rules drop what is',
  socket: 'missing socket: conntrack has not seen the end of the connection, and keeps it for the time LEFT',
};

/** Conntrack keeps a connection for longer than its socket stays: two minutes in TIME_WAIT, the socket one. */
const USUAL: ReadonlySet<string> = new Set(['TIME_WAIT', 'CLOSE', 'LAST_ACK']);

function isUsual({ missing, state, keptLong = 0 }: CompareRow): boolean {
  return missing === 'socket' && USUAL.has(state) && keptLong === 0;
}

const DISBELIEF: Readonly<Record<NonNullable<Divergence['disbelief']>, string>> = {
  'conntrack-idle':
    'no rule of this network namespace uses conntrack, or no connection was made since one does',
  'conntrack-incomplete': 'the flows of conntrack could not be read as a whole',
  'sockets-incomplete': 'the sockets could not be read as a whole',
};

function footerOf(divergence: Divergence): string[] {
  const { sockets, flows, through, untracked, unsettled, disbelief } = divergence;
  if (disbelief !== undefined) return [`not compared: ${DISBELIEF[disbelief]}`];
  const left = [
    through > 0 && `${count(through)} flows that pass through`,
    untracked > 0 && `${count(untracked)} sockets that conntrack does not follow`,
    unsettled > 0 && `${count(unsettled)} missing in one reading only`,
  ].filter((each) => each !== false);
  const leftOut = left.length === 0 ? '' : `; left out: ${left.join(', ')}`;
  return [`${count(sockets)} sockets and ${count(flows)} flows compared${leftOut}`];
}

const number = (title: string, drop: number, cell: (row: CompareRow) => number): TableColumn<CompareRow> => ({
  title,
  drop,
  align: 'right',
  cell: (row) => ({ text: count(cell(row)) }),
});

const COLUMNS: readonly TableColumn<CompareRow>[] = [
  number('COUNT', 0, (row) => row.count),
  { title: 'STATE', drop: 0, cell: ({ state }) => ({ text: state }) },
  { title: 'MISSING', drop: 0, cell: ({ missing }) => ({ text: missing, style: 'warn' }) },
  {
    title: 'OLDEST',
    drop: 1,
    align: 'right',
    cell: ({ samples: [oldest] }) => ({
      text: oldest === undefined ? '-' : `${age(oldest.ageMs)}${oldest.ageBasis === undefined ? '' : '+'}`,
    }),
  },
  {
    title: 'LEFT',
    drop: 2,
    align: 'right',
    cell: ({ samples: [oldest] }) => ({
      text: oldest?.timeoutMs === undefined ? '-' : age(oldest.timeoutMs),
    }),
  },
  {
    title: 'SUCH AS',
    drop: 3,
    min: 20,
    cell: ({ samples: [sample] }) => ({
      text:
        sample === undefined
          ? '-'
          : `${hostPortText(sample.local.address, sample.local.port)} ${hostPortText(sample.peer.address, sample.peer.port)}`,
    }),
  },
];
