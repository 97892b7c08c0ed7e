/** `finwait sockets`: the TCP sockets of this machine with state, age and process; needs no agent. */

import { FinwaitError } from '#base/errors.ts';
import { readSettings } from '#base/settings.ts';
import { noNetlinkFaults } from '../daemon/kernel/netlink-socket.ts';
import { deviceNames, dumpSockets } from '../daemon/track/dumps.ts';
import { readEphemeralFrom } from '../daemon/track/kernel-numbers.ts';
import { ProcessTable } from '../daemon/track/processes.ts';
import { SocketTable } from '../daemon/track/socket-table.ts';
import { fromSs } from './habits.ts';
import type { CommandHelp } from './help.ts';
import { asksForHelp, helpText, refusePositionals } from './help.ts';
import type { CliIo } from './io.ts';
import { EXIT } from './io.ts';
import type { RowContext, SocketRow } from './sockets-rows.ts';
import {
  GROUP_SORT_KEYS,
  groupSockets,
  selectSockets,
  socketRow,
  sortGroups,
  sortSockets,
} from './sockets-rows.ts';
import type { SocketsSettings } from './sockets-settings.ts';
import { SOCKETS_SETTINGS } from './sockets-settings.ts';
import { groupColumns, socketColumns, socketsFooter } from './sockets-view.ts';
import { finwaitAddresses, incompleteAnswer, printConditions, printJson, printTable } from './table.ts';

const HELP: CommandHelp = {
  usage: 'finwait sockets [options]',
  about: [
    'Lists the TCP sockets of this machine (of this network namespace): state, queues, ends, process, and how',
    'long each has been in its state, as far as the kernel tells: exactly in TIME-WAIT, at least so long (3m+)',
    'in CLOSE-WAIT. A process in parentheses is not the holder itself but listens on the local port.',
  ].join('\n'),
  settings: SOCKETS_SETTINGS,
  examples: [
    ['finwait sockets --state close-wait --by process', 'who does not close'],
    ['finwait sockets --state time-wait --by destination', 'towards whom connections are used up'],
    ['finwait sockets -s close-wait --sort age --limit 10', 'the oldest of them'],
    ['finwait sockets --listening', 'who listens, and whether anything waits to be accepted'],
    ['finwait sockets --address 10.0.0.0/8 -s all -o wide', 'everything known of the sockets of a network'],
  ],
  notes: [
    'A filter given several values (or several times) passes what matches one of them. The JSON is an array of\n' +
      'objects; docs/tables.md lists their fields. Options of ss are read as ss means them: -tlnp, -ant, -tnoi.',
  ],
};

export async function runSockets(args: readonly string[], io: CliIo): Promise<number> {
  if (asksForHelp(args)) {
    io.stdout.write(helpText(HELP));
    return EXIT.ok;
  }
  const { settings, positionals } = readSettings(SOCKETS_SETTINGS, fromSs(args), io.env);
  refusePositionals(positionals);
  checkTogether(settings);
  const processes = new ProcessTable({ maxDescriptors: Number.POSITIVE_INFINITY });
  const { rows: all, dropped } = readSockets(processes);
  const selected = selectSockets(all, settings);
  print(io, settings, selected, all.length);
  const names = processes.condition();
  // An unknown process elsewhere does not make this answer incomplete.
  const incomplete = selected.some(({ process, inode }) => process === null && inode !== 0);
  if (names !== undefined && incomplete) printConditions(io, [names]);
  printConditions(io, incompleteAnswer(dropped));
  return EXIT.ok;
}

/** @throws FinwaitError USAGE for options that contradict each other */
function checkTogether({ listening, state, by, sort }: SocketsSettings): void {
  const problem =
    listening && state.length > 0
      ? '--listening and --state exclude each other'
      : by === undefined && sort === 'count'
        ? '--sort count needs --by'
        : by !== undefined && sort !== undefined && !GROUP_SORT_KEYS.includes(sort)
          ? `--sort ${sort} does not go with --by: groups sort by ${GROUP_SORT_KEYS.join(', ')}`
          : undefined;
  if (problem !== undefined) {
    throw new FinwaitError('USAGE', problem, 'run the command with --help to see what it takes');
  }
}

/** `dropped`: messages of the kernel that are missing in the rows. */
function readSockets(processes: ProcessTable): { rows: SocketRow[]; dropped: number } {
  const faults = noNetlinkFaults();
  const table = new SocketTable({
    dump: (onSocket) => dumpSockets(onSocket, faults),
    processes,
    maxTracked: Number.POSITIVE_INFINITY,
    details: true,
    ephemeralFrom: readEphemeralFrom(),
  });
  const nowMs = performance.now();
  table.sweep(nowMs);
  const devices = deviceNames();
  const context: RowContext = {
    nowMs,
    interfaceName: (index) => devices.get(index) ?? String(index),
    isProbe: finwaitAddresses(),
  };
  const rows = Array.from(table.sockets(), (socket) => socketRow(socket, context));
  return { rows, dropped: table.counters.undecodable + faults.truncated + faults.undecodable };
}

function print(io: CliIo, settings: SocketsSettings, selected: readonly SocketRow[], total: number): void {
  const { by, sort, reverse, limit } = settings;
  const json = settings.json || settings.output === 'json';
  if (by !== undefined) {
    const rows = sortGroups(groupSockets(selected, by), sort, reverse).slice(0, limit);
    const footer = socketsFooter(selected, selected, total);
    if (json) printJson(io, rows);
    else printTable(io, { columns: groupColumns(by), rows, footer }, settings);
    return;
  }
  // `count` is refused without --by.
  const key = sort === 'count' ? undefined : sort;
  const rows = sortSockets(selected, key, reverse).slice(0, limit);
  const footer = socketsFooter(rows, selected, total);
  if (json) printJson(io, rows);
  else printTable(io, { columns: socketColumns(settings.listening), rows, footer }, settings);
}
