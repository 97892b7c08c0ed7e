/** Lines for what the kernel tells as it happens, until a signal, a number of lines, or the end of the output. */

import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { cleanText } from '#base/clean-text.ts';
import type { Condition } from '#base/errors.ts';
import type { NetlinkEvents, OnDatagram } from '../daemon/kernel/netlink-events.ts';
import { NetlinkError, netlinkFailed } from '../daemon/kernel/netlink-socket.ts';
import type { CliIo } from './io.ts';
import { EXIT } from './io.ts';
import { jsonText } from './json-text.ts';
import { listenForSignals } from './probe-signals.ts';
import { printConditions } from './table.ts';

const LOOK_MS = 50;
const EVENTS_PER_LOOK = 4_096;
export const EVENT_QUEUE_BYTES = 32 << 20;

type EventLine = string | (() => string);
type EventSource = Pick<NetlinkEvents, 'read' | 'counters'>;

export interface EventStream {
  readonly sources: readonly EventSource[];
  /**
   * The lines of one message of a source, which lives until the next; undefined where it is no event. A line that is a
   * function is asked for when all that the kernel told at once has been read.
   */
  readonly linesOf: (
    datagram: Uint8Array,
    atMs: number,
    source: number,
  ) => readonly (EventLine | undefined)[];
  /** Called at the beginning, and whenever all that the kernel told has been read. */
  readonly whenIdle?: () => void;
  /** How many lines are wanted. */
  readonly limit: number;
  readonly json: boolean;
  /** What is said when the kernel had to drop events. */
  readonly lost: Condition;
}

/** Answers the exit code. @throws FinwaitError NETLINK_FAILED, OUTPUT_FAILED */
export async function streamEvents(io: CliIo, stream: EventStream): Promise<number> {
  const { sources, linesOf, whenIdle, limit, json, lost } = stream;
  using signals = listenForSignals(io.stdout);
  const { signal } = signals;
  // In JSON all that a terminal would obey is escaped.
  const printed = json ? (line: string) => line : cleanText;
  let left = limit;
  let undecodable = 0;
  whenIdle?.();
  while (!signal.aborted && left > 0) {
    const atMs = Date.now();
    let idle = true;
    for (const [index, source] of sources.entries()) {
      const lines: EventLine[] = [];
      const answer = readSome(source, (view, from, to) => {
        const datagram = new Uint8Array(view.buffer, view.byteOffset + from, to - from);
        for (const line of linesOf(datagram, atMs, index)) {
          if (line === undefined) undecodable++;
          else if (left > 0) {
            left--;
            lines.push(line);
          }
        }
      });
      const text = lines.map((line) => `${printed(typeof line === 'string' ? line : line())}\n`).join('');
      if (text !== '' && !io.stdout.write(text)) {
        await once(io.stdout, 'drain', { signal }).catch(() => {});
      }
      if (answer === 'overflowed') {
        if (json) io.stdout.write(`${jsonText({ event: 'lost', atMs })}\n`);
        printConditions(io, [lost]);
      }
      idle &&= answer === 'empty';
    }
    if (!idle || left === 0) continue;
    whenIdle?.();
    await sleep(LOOK_MS, undefined, { signal }).catch(() => {});
  }
  const dropped = sources.reduce(
    (sum, { counters }) => sum + counters.truncated + counters.foreignSender,
    undecodable,
  );
  if (dropped > 0) io.stderr.write(`finwait: note: ${dropped} messages were no event of the kernel\n`);
  if (signals.fault !== undefined) throw signals.fault;
  return EXIT.ok;
}

/** @throws FinwaitError NETLINK_FAILED */
function readSome(source: EventSource, onDatagram: OnDatagram): ReturnType<EventSource['read']> {
  try {
    return source.read(onDatagram, EVENTS_PER_LOOK);
  } catch (error) {
    throw error instanceof NetlinkError ? netlinkFailed(error) : error;
  }
}
