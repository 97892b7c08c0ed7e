/** `finwait conntrack`: the TCP flows that the kernel tracks, and how full its table is; needs no agent. */

import { FinwaitError } from '#base/errors.ts';
import { readSettings } from '#base/settings.ts';
import { FOOTPRINT_MARK } from '../daemon/kernel/host-tun.ts';
import type { NetlinkCounters } from '../daemon/kernel/netlink-socket.ts';
import { noNetlinkFaults } from '../daemon/kernel/netlink-socket.ts';
import type { Flows } from '../daemon/track/conntrack-flows.ts';
import { readFlows } from '../daemon/track/conntrack-flows.ts';
import { dumpFlows } from '../daemon/track/dumps.ts';
import type { ConntrackFill } from '../daemon/track/kernel-numbers.ts';
import { readConntrackFill } from '../daemon/track/kernel-numbers.ts';
import { runDelete } from './conntrack-delete.ts';
import { runEvents } from './conntrack-events.ts';
import type { FlowRow } from './conntrack-rows.ts';
import {
  FLOW_GROUP_SORT_KEYS,
  groupFlows,
  selectFlows,
  sortFlowGroups,
  sortFlows,
} from './conntrack-rows.ts';
import type { ConntrackSettings } from './conntrack-settings.ts';
import { CONNTRACK_SETTINGS } from './conntrack-settings.ts';
import { StatsReader } from './conntrack-stats.ts';
import type { FlowTotals } from './conntrack-view.ts';
import { fillText, flowColumns, flowGroupColumns, flowsFooter } from './conntrack-view.ts';
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
    ['finwait conntrack --state syn-sent --unreplied', 'handshakes that nobody answers'],
    ['finwait conntrack --nat --address 10.96.0.0/12', 'where the connections to services really go'],
    ['finwait conntrack --own', "finwait's own footprint"],
    ['finwait conntrack --events --state close-wait,time-wait', 'who closes, as it happens'],
    ['finwait conntrack --stats --watch', 'what is dropped, and how fast'],
  ],
  notes: [
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
  const stats = settings.stats ? new StatsReader(settings.netns) : undefined;
  return watching(io, settings, () => {
    if (stats === undefined) list(io, settings);
    else stats.print(io, settings);
  });
}

function list(io: CliIo, settings: ConntrackSettings): void {
  const fill = readConntrackFill();
  const faults = noNetlinkFaults();
  const { flows, others, undecodable } = readTable(io, settings, fill, faults);
  const all = flows.map((flow) => ({ ...flow, own: flow.mark === FOOTPRINT_MARK }));
  const selected = selectFlows(all, settings);
  print(io, settings, { selected, all, others, fill });
  printConditions(io, incompleteAnswer(undecodable + faults.truncated + faults.undecodable));
}

/** @throws FinwaitError USAGE for options that contradict each other */
function checkTogether({ by, sort, events, stats, watch }: ConntrackSettings): void {
  const problem =
    events && (by !== undefined || sort !== undefined || stats || watch)
      ? '--events goes with filters only: not with --by, --sort, --stats or --watch'
      : by === undefined && sort === 'count'
        ? '--sort count needs --by'
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
  fill: ConntrackFill,
  faults: NetlinkCounters,
): Flows {
  try {
    return readFlows((onFlow) => dumpFlows(onFlow, faults), Date.now());
  } catch (error) {
    if (!settings.json && settings.output !== 'json') io.stdout.write(`${fillText(fill)}\n`);
    throw error;
  }
}

function print(io: CliIo, settings: ConntrackSettings, totals: Omit<FlowTotals, 'shown'>): void {
  const { by, sort, reverse, limit } = settings;
  const json = settings.json || settings.output === 'json';
  if (by !== undefined) {
    const groups = sortFlowGroups(groupFlows(totals.selected, by), sort, reverse).slice(0, limit);
    const footer = flowsFooter({ ...totals, shown: totals.selected.length });
    if (json) printJson(io, groups);
    else printTable(io, { columns: flowGroupColumns(by), rows: groups, footer }, settings);
    return;
  }
  // `count` is refused without --by.
  const key = sort === 'count' ? undefined : sort;
  const rows: readonly FlowRow[] = sortFlows(totals.selected, key, reverse).slice(0, limit);
  const footer = flowsFooter({ ...totals, shown: rows.length });
  if (json) printJson(io, rows);
  else printTable(io, { columns: flowColumns(rows), rows, footer }, settings);
}
