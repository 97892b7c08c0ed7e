/**
 * Reads the kernel's tables as the agent does, into the agent's own tables.
 * `tables-child.ts sockets|owners|flows|sweep RUNS` prints what each reading cost, a line of JSON each: the first fills the table,
 *   the others find what they know.
 * `tables-child.ts events RECEIVE_BUFFER` follows the events of conntrack as bench/c/conntrack.c does.
 */

import type { OnDatagram } from '../daemon/kernel/netlink-events.ts';
import { NetlinkEvents } from '../daemon/kernel/netlink-events.ts';
import { noNetlinkFaults } from '../daemon/kernel/netlink-socket.ts';
import { tcpEventsFilter } from '../daemon/netlink/conntrack-filter.ts';
import { CONNTRACK_EVENT_GROUPS, NETLINK_NETFILTER } from '../daemon/netlink/ctnetlink-attributes.ts';
import { idleClock } from '../daemon/track/conntrack-flows.ts';
import type { EventSource } from '../daemon/track/conntrack-follower.ts';
import { ConntrackFollower } from '../daemon/track/conntrack-follower.ts';
import { dumpFlowRows, dumpSockets } from '../daemon/track/dumps.ts';
import { FlowEnds } from '../daemon/track/flow-ends.ts';
import { FlowTable } from '../daemon/track/flow-table.ts';
import { ProcessTable } from '../daemon/track/processes.ts';
import { SocketTable } from '../daemon/track/socket-table.ts';
import { Sweeper } from '../daemon/track/sweeper.ts';
import type { Reading } from './tables.ts';

const [what = '', number] = process.argv.slice(2);
const MAX_TRACKED = 2_000_000;
const EPHEMERAL_FROM = 32_768;
const MEBIBYTE = 2 ** 20;
/** Longer than any pause between two dumps. */
const PAUSE_MS = 1e6;
/** How often the agent looks for events. */
const FOLLOW_MS = 50;

const faults = noNetlinkFaults();
let skippedMs = 0;
const clock = () => performance.now() + skippedMs;
const flows = new FlowTable({
  maxFlows: MAX_TRACKED,
  seed: 1,
  ownMark: 1,
  ends: new FlowEnds(),
  idleClock,
  unixOffsetMs: () => Date.now() - clock(),
});

function follow(events: EventSource): ConntrackFollower {
  return new ConntrackFollower({
    table: flows,
    events,
    hasEvents: () => true,
    dump: (onFlow, between) => dumpFlowRows(onFlow, between, faults),
    clock,
  });
}

/** What reads once, and tells how many rows there are. */
function reader(): () => number {
  if (what === 'flows') {
    const follower = follow({ read: () => 'empty' });
    return () => {
      skippedMs += PAUSE_MS;
      follower.sweep();
      return flows.size;
    };
  }
  if (what === 'sweep') {
    const sweeper = new Sweeper({ maxTracked: MAX_TRACKED, allNamespaces: true });
    return () => sweeper.sweep(clock()).counters.namespaces_found ?? 0;
  }
  const processes = new ProcessTable({ maxDescriptors: 1_000_000 });
  const dump = (onSocket: OnDatagram) => dumpSockets(onSocket, faults);
  const maxTracked = MAX_TRACKED;
  const sockets = new SocketTable({ dump, processes, maxTracked, ephemeralFrom: EPHEMERAL_FROM });
  return () => {
    if (what === 'owners') sockets.sweep(clock());
    else sockets.read(clock());
    return sockets.tracked;
  };
}

function cpuSeconds({ user, system }: NodeJS.CpuUsage): number {
  return (user + system) / 1e6;
}

function residentMiB(): number {
  return process.memoryUsage().rss / MEBIBYTE;
}

function readAgainAndAgain(runs: number): void {
  const readOnce = reader();
  const residentBeforeMiB = residentMiB();
  for (let run = 0; run < runs; run += 1) {
    const [before, startMs] = [process.cpuUsage(), performance.now()];
    const rows = readOnce();
    const cpu = cpuSeconds(process.cpuUsage(before));
    const seconds = (performance.now() - startMs) / 1000;
    const memory = { residentBeforeMiB, residentMiB: residentMiB(), tableMiB: flows.bytes / MEBIBYTE };
    const reading: Reading = { rows, seconds, cpu, ...memory };
    console.log(JSON.stringify(reading));
  }
}

function followEvents(queueBytes: number): void {
  const protocol = NETLINK_NETFILTER;
  const groups = CONNTRACK_EVENT_GROUPS;
  const events = new NetlinkEvents({ protocol, groups, queueBytes, filter: tcpEventsFilter() });
  const follower = follow(events);
  const { counters } = follower;
  let before = process.cpuUsage();
  let [taken, lost] = [0, 0];
  const timer = setInterval(() => follower.drain(), FOLLOW_MS);
  process.stdin.on('data', () => {
    follower.drain();
    const all = counters.begun + counters.changed + counters.ended;
    const cpu = cpuSeconds(process.cpuUsage(before));
    console.log(JSON.stringify({ events: all - taken, lost: counters.overflows - lost, cpu }));
    before = process.cpuUsage();
    taken = all;
    lost = counters.overflows;
  });
  process.stdin.on('end', () => clearInterval(timer));
  console.log('ready');
}

if (what === 'events') followEvents(Number(number));
else readAgainAndAgain(Number(number));
