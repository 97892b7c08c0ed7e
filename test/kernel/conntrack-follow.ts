/**
 * Started in a network namespace: follows its conntrack as the agent does, with a queue of `conntrack-follow.ts QUEUE_BYTES`
 * for events. With the argument `dumps` each sweep dumps, so that dumps and events run into each other all the time. Says
 * `ready` after the first sweep; at each SIGUSR2 it prints what its table holds, as a line of JSON.
 */

import type { Condition } from '#base/errors.ts';
import type { ConntrackActivity } from '#contract';
import { noNetlinkFaults } from '../../daemon/kernel/netlink-socket.ts';
import { CONNTRACK_TCP_STATES } from '../../daemon/netlink/ctnetlink-attributes.ts';
import { Conntrack } from '../../daemon/track/conntrack.ts';
import { ipFromBytes } from '../../daemon/wire/address.ts';

export interface Followed {
  /** As `flowTexts` of tables-oracles.ts has them. */
  readonly flows: readonly string[];
  /** Of those that the kernel counts, by source port: packets and bytes as `flowsByConntrack` has them. */
  readonly counted: Readonly<Record<string, string>>;
  readonly activity: ConntrackActivity | undefined;
  readonly counters: Readonly<Record<string, number>>;
  readonly conditions: readonly string[];
}

const [queueBytes, how] = process.argv.slice(2);
const FOLLOW_MS = 20;
const SWEEP_MS = 200;
/** Longer than any pause between two dumps. */
const PAUSE_MS = 1e6;

let skippedMs = 0;
const conntrack = new Conntrack({
  maxFlows: 1_000_000,
  faults: noNetlinkFaults(),
  clock: () => performance.now() + skippedMs,
  queueBytes: Number(queueBytes),
});

function sweep(): { conditions: Condition[]; activity: ConntrackActivity | undefined } {
  const conditions: Condition[] = [];
  if (how === 'dumps') skippedMs += PAUSE_MS;
  return { activity: conntrack.sweep(conditions)?.activity, conditions };
}

function told(): Followed {
  const { conditions, activity } = sweep();
  const flows: string[] = [];
  const counted: Record<string, string> = {};
  conntrack.table.forEachFlow((row) => {
    const end = (address: Uint8Array, port: number) => `${ipFromBytes(address).text} ${port}`;
    const original = `${end(row.source, row.sourcePort)}>${end(row.destination, row.destinationPort)}`;
    const reply = `${end(row.replySource, row.replySourcePort)}>${end(row.replyDestination, row.replyDestinationPort)}`;
    if (row.counted) {
      counted[row.sourcePort] =
        `${row.sentPackets},${row.receivedPackets} ${row.sentBytes},${row.receivedBytes}`;
    }
    flows.push(`${CONNTRACK_TCP_STATES[row.state]} ${original} ${reply} zone ${row.zone} mark ${row.mark}`);
  });
  return {
    flows: flows.sort(),
    counted,
    activity,
    counters: conntrack.counters,
    conditions: conditions.map(({ code }) => code),
  };
}

sweep();
const timers = [setInterval(() => conntrack.follow(), FOLLOW_MS), setInterval(sweep, SWEEP_MS)];
process.on('SIGUSR2', () => console.log(JSON.stringify(told())));
process.once('SIGTERM', () => {
  for (const timer of timers) clearInterval(timer);
  conntrack[Symbol.dispose]();
});
console.log('ready');
