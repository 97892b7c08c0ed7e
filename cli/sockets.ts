/** `finwait sockets`: the TCP sockets of this machine with state, age and process; needs no agent. */

import { cleanText } from '#base/clean-text.ts';
import { FinwaitError } from '#base/errors.ts';
import { readSettings } from '#base/settings.ts';
import { GroupChanges } from './group-changes.ts';
import { fromSs } from './habits.ts';
import type { CommandHelp } from './help.ts';
import { asksForHelp, helpText, refusePositionals } from './help.ts';
import type { CliIo } from './io.ts';
import { EXIT } from './io.ts';
import { printCounters } from './sockets-counters.ts';
import { runDestroy } from './sockets-destroy.ts';
import { runSocketEvents } from './sockets-events.ts';
import type { SocketGroup } from './sockets-groups.ts';
import { GROUP_SORT_KEYS, groupName, groupSockets, sortGroups } from './sockets-groups.ts';
import { listSockets, rowKey } from './sockets-listing.ts';
import type { Places, SocketsRead } from './sockets-reader.ts';
import { SocketsReader } from './sockets-reader.ts';
import { selectedStates } from './sockets-rows.ts';
import type { SocketSortKey, SocketsSettings } from './sockets-settings.ts';
import { SOCKET_DETAIL_KEYS, SOCKETS_SETTINGS } from './sockets-settings.ts';
import { socketGroupsFooter, socketsFooter } from './sockets-totals.ts';
import { groupColumns, socketColumns } from './sockets-view.ts';
import { incompleteAnswer, printConditions, printJson, printTable } from './table.ts';
import { watching } from './watch.ts';

const HELP: CommandHelp = {
  usage: 'finwait sockets [options]',
  about: [
    'Lists the TCP sockets of this network namespace (with --all-namespaces of the machine): state, queues, ends, process, and how',
    'long each has been in its state, as far as the kernel tells: exactly in TIME-WAIT, at least so long (3m+)',
    'in CLOSE-WAIT. A process in parentheses is not the holder itself but listens on the local port.',
  ].join('\n'),
  settings: SOCKETS_SETTINGS,
  examples: [
    ['finwait sockets --state close-wait --by process', 'who does not close'],
    ['finwait sockets --state time-wait --by destination', 'towards whom connections are used up'],
    ['finwait sockets --state syn-received --by port', 'which service is flooded'],
    ['finwait sockets --by process -s close-wait --watch --sort change', 'where they become more'],
    ['finwait sockets -s close-wait --sort age --limit 10', 'the oldest of them'],
    ['finwait sockets --listening', 'who listens, and whether anything waits to be accepted'],
    ['finwait sockets --by pod -s close-wait', 'the pods with connections that they do not close'],
    ['finwait sockets --counters --watch', 'what the kernel counts: full queues, cookies, resets'],
    ['finwait sockets --events --process nginx', 'what its connections had done when they ended'],
    ['finwait sockets --address 10.0.0.0/8 -s all -o wide', 'everything known of the sockets of a network'],
  ],
  notes: [
    'finwait sockets destroy LOCAL PEER --cookie SK --yes aborts one connection: finwait sockets destroy --help.',
    'A filter given several values (or several times) passes what matches one of them. The JSON is an array of\n' +
      'objects; docs/tables.md lists their fields. Options of ss are read as ss means them: -tlnp, -ant, -tnoi.',
    'With -o wide: CWND is the congestion window and the slow start threshold, in segments; UNACKED segments on their\n' +
      'way; RATE what was delivered lately; CC the congestion control; MEM bytes taken of those allowed, for receiving and\n' +
      'for sending; DROPS segments for which there was no room, of a listener connections; SK the cookie that destroy takes.',
  ],
};

export async function runSockets(args: readonly string[], io: CliIo): Promise<number> {
  if (args[0] === 'destroy') return runDestroy(args.slice(1), io);
  if (asksForHelp(args)) {
    io.stdout.write(helpText(HELP));
    return EXIT.ok;
  }
  const { settings, positionals } = readSettings(SOCKETS_SETTINGS, fromSs(args), io.env);
  refusePositionals(positionals);
  checkTogether(settings);
  if (settings.events) return runSocketEvents(settings, io);
  const reader = new SocketsReader(placesOf(settings), {
    details: showsDetails(settings),
    // What is watched is remembered: whose a socket was before it went to TIME-WAIT.
    ...(settings.watch || settings.counters ? {} : { states: selectedStates(settings) }),
  });
  const changes = new GroupChanges<SocketGroup>(groupName(settings.by));
  return watching(io, settings, async () => {
    const read = reader.read();
    if (settings.counters) await printCounters(io, settings, read);
    else await printSockets(io, settings, read, changes);
    printConditions(io, [...read.conditions, ...incompleteAnswer(read.dropped)]);
  });
}

/** What names a pod is about more than this namespace. */
function placesOf({ allNamespaces, netns, pod, by }: SocketsSettings): Places {
  if (netns.length > 0) return netns;
  const grouped = by === 'pod' || by === 'container' || by === 'namespace';
  return allNamespaces || grouped || pod.length > 0 ? 'all' : 'own';
}

/** @throws FinwaitError USAGE for options that contradict each other */
function checkTogether(settings: SocketsSettings): void {
  const { listening, state, by, sort, counters, allNamespaces, netns, events, watch } = settings;
  const others = [counters, by !== undefined, sort !== undefined, watch, listening, allNamespaces];
  const problem =
    events && others.includes(true)
      ? '--events goes with filters, --netns and --limit only'
      : allNamespaces && netns.length > 0
        ? '--all-namespaces and --netns exclude each other'
        : counters && by !== undefined
          ? '--counters and --by exclude each other'
          : listening && state.length > 0
            ? '--listening and --state exclude each other'
            : by === undefined && (sort === 'count' || sort === 'change')
              ? `--sort ${sort} needs --by`
              : by !== undefined && sort !== undefined && !GROUP_SORT_KEYS.includes(sort)
                ? `--sort ${sort} does not go with --by: groups sort by ${GROUP_SORT_KEYS.join(', ')}`
                : undefined;
  if (problem !== undefined) {
    throw new FinwaitError('USAGE', problem, 'run the command with --help to see what it takes');
  }
}

const DETAIL_KEYS: ReadonlySet<SocketSortKey> = new Set(SOCKET_DETAIL_KEYS);

function showsDetails({ by, counters, listening, json, output, sort }: SocketsSettings): boolean {
  if (by !== undefined || counters) return false;
  return listening || json || output !== 'table' || (sort !== undefined && DETAIL_KEYS.has(sort));
}

async function printSockets(
  io: CliIo,
  settings: SocketsSettings,
  read: SocketsRead,
  changes: GroupChanges<SocketGroup>,
): Promise<void> {
  const { by, sort, reverse, limit, watch, listening } = settings;
  const { selected, shown, hidden, notes } = listSockets(read, settings);
  const totals = { selected, total: read.total };
  const json = settings.json || settings.output === 'json';
  if (by !== undefined) {
    const groups = changes.compared(groupSockets(selected, by));
    const rows = sortGroups(groups, sort, reverse).slice(0, limit);
    const footer = socketGroupsFooter(rows, by, totals);
    if (json) await printJson(io, rows, settings);
    else await printTable(io, { columns: groupColumns(by, watch), rows, footer }, settings);
  } else {
    const footer = socketsFooter(shown, totals);
    const allNamespaces = placesOf(settings) !== 'own';
    const columns = socketColumns(shown, { listening, allNamespaces, sort: rowKey(sort) });
    if (json) await printJson(io, shown, settings);
    else await printTable(io, { columns, rows: shown, footer }, settings);
  }
  const processes = hidden ? read.processes() : undefined;
  if (processes !== undefined) printConditions(io, [processes]);
  for (const note of notes) io.stderr.write(`finwait: note: ${cleanText(note)}\n`);
}
