/** What the kernel's socket table knows of a listener of this machine that a probe did not get along with. */

import { networkInterfaces } from 'node:os';
import { FinwaitError } from '#base/errors.ts';
import { hostPortText } from '#base/host-port.ts';
import type { ProbeResult, Verdict } from '#contract';
import { noNetlinkFaults } from '../daemon/kernel/netlink-socket.ts';
import { dumpSockets } from '../daemon/track/dumps.ts';
import { readEphemeralFrom } from '../daemon/track/kernel-numbers.ts';
import { ProcessTable } from '../daemon/track/processes.ts';
import type { TrackedSocket } from '../daemon/track/socket-table.ts';
import { SocketTable } from '../daemon/track/socket-table.ts';

/** Verdicts that a program which does not accept is the reason of. */
const UNACCEPTED: ReadonlySet<Verdict> = new Set([
  'filtered',
  'accept-queue-full',
  'half-closed',
  'close-unanswered',
  'exchange-timeout',
]);

/**
 * The result with the state of the accept queue in its sentence, where the target is a listener of this machine in
 * which connections wait. Silence of a listener whose queue is full becomes `accept-queue-full`.
 */
export function withListener(result: ProbeResult): ProbeResult {
  if (!UNACCEPTED.has(result.verdict) || !isOwn(result.remote.address)) return result;
  const listener = listenerAt(result.remote);
  if (listener === undefined || listener.diag.receiveQueue === 0) return result;
  const { local, process, diag } = listener;
  const holder = process === null ? 'a program that is not known' : `${process.name}/${process.pid}`;
  // sk_acceptq_is_full, net/sock.h: there is room for one more than the backlog.
  const full = diag.receiveQueue > diag.sendQueue;
  const state = full ? 'its accept queue is full' : 'connections wait to be accepted';
  const where = hostPortText(local.address, local.port);
  const evidence = `the kernel shows the listener ${where} of ${holder} with ${diag.receiveQueue} waiting and a backlog of ${diag.sendQueue}: ${state}`;
  const verdict = full && result.verdict === 'filtered' ? 'accept-queue-full' : result.verdict;
  return { ...result, verdict, sentence: `${result.sentence}; ${evidence}` };
}

function isOwn(address: string): boolean {
  if (/^127\./.test(address) || address === '::1') return true;
  return Object.values(networkInterfaces()).some((list) => list?.some((each) => each.address === address));
}

/** The listener that takes connections to an own address: one bound to it before one bound to all. */
function listenerAt({ address, port }: ProbeResult['remote']): TrackedSocket | undefined {
  const table = new SocketTable({
    dump: (onSocket) => dumpSockets(onSocket, noNetlinkFaults()),
    processes: new ProcessTable(),
    maxTracked: Number.POSITIVE_INFINITY,
    ephemeralFrom: readEphemeralFrom(),
  });
  try {
    table.sweep(performance.now());
  } catch (error) {
    // The probe's own evidence stands without the table.
    if (error instanceof FinwaitError) return undefined;
    throw error;
  }
  const listeners = [...table.sockets()].filter(
    ({ state, local }) => state === 'LISTEN' && local.port === port,
  );
  const family = address.includes(':') ? 6 : 4;
  return (
    listeners.find(({ local }) => local.address === address) ??
    listeners.find(
      (each) =>
        /^(0\.0\.0\.0|::)$/.test(each.local.address) &&
        (each.family === family || (family === 4 && each.dualStack)),
    )
  );
}
