/** `finwait conntrack`: the TCP flows that the kernel tracks, and how full its table is; needs no agent. */

import { FinwaitError } from '#base/errors.ts';
import { readSettings } from '#base/settings.ts';
import { runDelete } from './conntrack-delete.ts';
import { runEvents } from './conntrack-events.ts';
import { FLOW_GROUP_SORT_KEYS } from './conntrack-groups.ts';
import type { FlowsRead, WatchedFill } from './conntrack-reader.ts';
import { asksForOwners, FlowsReader } from './conntrack-reader.ts';
import type { ConntrackSettings } from './conntrack-settings.ts';
import { CONNTRACK_SETTINGS } from './conntrack-settings.ts';
import { StatsReader } from './conntrack-stats.ts';
import { fillText, flowColumns, flowGroupColumns, flowGroupsFooter, flowsFooter } from './conntrack-view.ts';
import { fromConntrack } from './habits.ts';
import type { CommandHelp } from './help.ts';
import { asksForHelp, helpText, refusePositionals } from './help.ts';
import type { CliIo } from './io.ts';
import { EXIT } from './io.ts';
import { incompleteAnswer, printConditions, printJson, printTable } from './table.ts';
import { watching } from './watch.ts';

const HELP: CommandHelp = {
  usage: 'finwait conntrack [options] | finwait conntrack delete SOURCE DESTINATION',
  about: [
    'Lists the TCP flows that the kernel tracks in this network namespace, and how full its table is. A state is',
    "conntrack's own, not a socket's. LEFT is the time until the kernel forgets the flow; IDLE the time since its",
    'last packet, where LEFT tells it. NAT shows where a flow really goes (to) and as whom it comes (as).',
  ].join('\n'),
  settings: CONNTRACK_SETTINGS,
  examples: [
    ['finwait conntrack --by destination --limit 10', 'who fills the table'],
    ['finwait conntrack --by pod --watch', 'which pods begin flows, and how many more or less there are'],
    ['finwait conntrack --owners --state close-wait', 'the process and pod at each end'],
    ['finwait conntrack --state syn-sent --unreplied', 'handshakes that nobody answers'],
    ['finwait conntrack --nat --address 10.96.0.0/12', 'where the connections to services really go'],
    ['finwait conntrack --watch --limit 1', 'how fast the table fills, and when it is full'],
    ['finwait conntrack --own', "finwait's own footprint"],
    ['finwait conntrack --events --state close-wait,time-wait', 'who closes, as it happens'],
    ['finwait conntrack --stats --watch', 'what is dropped, and how fast'],
  ],
  notes: [
    'Whose a flow is: --owners tells it of both ends, --by process or pod counts.',
    'Needs CAP_NET_ADMIN. AGE, PACKETS and BYTES appear when the kernel keeps them: net.netfilter.nf_conntrack_timestamp=1\n' +
      'and net.netfilter.nf_conntrack_acct=1, for flows that begin after that. docs/tables.md lists the fields of the JSON.',
  ],
};

export async function runConntrack(args: readonly string[], io: CliIo): Promise<number> {
  if (args[0] === 'delete') return runDelete(args.slice(1), io);
  if (asksForHelp(args)) {
    io.stdout.write(helpText(HELP));
    return EXIT.ok;
  }
  const { settings, positionals } = readSettings(CONNTRACK_SETTINGS, fromConntrack(args), io.env);
  refusePositionals(positionals);
  checkTogether(settings);
  if (settings.events) return runEvents(settings, io);
  if (settings.stats) {
    const stats = new StatsReader(settings.netns);
    return watching(io, settings, () => stats.print(io, settings));
  }
  const flows = new FlowsReader(settings);
  return watching(io, settings, () => {
    const fill = flows.fill();
    const read = readTable(io, settings, fill, () => flows.read(fill));
    return print(io, settings, read);
  });
}

/** @throws FinwaitError USAGE for options that contradict each other */
function checkTogether(settings: ConntrackSettings): void {
  const { by, sort, events, stats, watch, only } = settings;
  const problem =
    events && asksForOwners(settings)
      ? '--events does not go with --owners, --process or --pod: who has a socket is not asked for each event'
      : !events && only.length > 0
        ? '--only needs --events'
        : events && (by !== undefined || sort !== undefined || stats || watch)
          ? '--events goes with filters only: not with --by, --sort, --stats or --watch'
          : by === undefined && (sort === 'count' || sort === 'change')
            ? `--sort ${sort} needs --by`
            : by !== undefined && sort !== undefined && !FLOW_GROUP_SORT_KEYS.includes(sort)
              ? `--sort ${sort} does not go with --by: groups sort by ${FLOW_GROUP_SORT_KEYS.join(', ')}`
              : undefined;
  if (problem !== undefined) {
    throw new FinwaitError('USAGE', problem, 'run the command with --help to see what it takes');
  }
}

/** The fill is known to everyone: it is shown also where the flows may not be read. */
function readTable(
  io: CliIo,
  settings: ConntrackSettings,
  fill: WatchedFill,
  read: () => FlowsRead,
): FlowsRead {
  try {
    return read();
  } catch (error) {
    if (!settings.json && settings.output !== 'json') io.stdout.write(`${fillText(fill)}\n`);
    throw error;
  }
}

async function print(io: CliIo, settings: ConntrackSettings, read: FlowsRead): Promise<void> {
  const { by } = settings;
  const { totals, rows, groups, dropped, conditions } = read;
  const json = settings.json || settings.output === 'json';
  if (json) await printJson(io, by === undefined ? rows : groups, settings);
  else if (by !== undefined) {
    const columns = flowGroupColumns(by, groups, settings.watch);
    const footer = [...flowsFooter(totals), ...flowGroupsFooter(by, groups)];
    await printTable(io, { columns, rows: groups, footer }, settings);
  } else {
    const columns = flowColumns(rows, asksForOwners(settings));
    await printTable(io, { columns, rows, footer: flowsFooter(totals, rows.length) }, settings);
  }
  printConditions(io, [...conditions, ...incompleteAnswer(dropped)]);
}
