/** `finwait sockets --events`: a line for each connection whose socket the kernel lets go, with its last figures. */

import type { Endpoint } from '#contract';
import { NetlinkEvents } from '../daemon/kernel/netlink-events.ts';
import { NETLINK_SOCK_DIAG, SOCKET_END_GROUPS } from '../daemon/netlink/inet-diag.ts';
import { decodeMessages, viewOf } from '../daemon/netlink/message.ts';
import { readEphemeralFrom } from '../daemon/track/kernel-numbers.ts';
import { ProcessTable } from '../daemon/track/processes.ts';
import { readingSockets } from '../daemon/track/refusals.ts';
import { SocketTable } from '../daemon/track/socket-table.ts';
import { EVENT_QUEUE_BYTES, streamEvents } from './event-stream.ts';
import type { CliIo } from './io.ts';
import { jsonText } from './json-text.ts';
import type { Place } from './place.ts';
import { inside, ownNamespace } from './place.ts';
import { nameOf, SocketsReader } from './sockets-reader.ts';
import type { SocketRow } from './sockets-rows.ts';
import { selectSockets, socketRow } from './sockets-rows.ts';
import type { SocketsSettings } from './sockets-settings.ts';
import { localText, peerText, processCell } from './sockets-view.ts';
import { finwaitAddresses } from './table.ts';
import { count, latency } from './view-text.ts';

/** An event as `--json` prints it: a socket as it was last, its state and owner as of the last look at all sockets. */
export interface SocketEvent extends Omit<SocketRow, 'peer'> {
  readonly event: 'ended';
  /** Null where the kernel had forgotten it: of a connection that its own program reset, or of none. */
  readonly peer: Endpoint | null;
  /** Unix time at which it was read. */
  readonly atMs: number;
}

export async function runSocketEvents(settings: SocketsSettings, io: CliIo): Promise<number> {
  const { netns, interval, limit } = settings;
  const json = settings.json || settings.output === 'json';
  const places: readonly (Place | undefined)[] = netns.length > 0 ? netns : [undefined];
  using sources = new DisposableStack();
  const events = places.map((place) => inside(place, () => sources.use(readingSockets(listen))));
  const inodes = places.map((place) => place?.inode ?? ownNamespace());
  const ends = new SocketEnds(new SocketsReader(netns.length > 0 ? netns : 'own'), interval);
  return await streamEvents(io, {
    sources: events,
    whenIdle: () => ends.look(performance.now()),
    linesOf: (datagram, atMs, source) => {
      const rows = ends.rowsOf(datagram, inodes[source] ?? 0);
      if (rows === undefined) return [undefined];
      return selectSockets(rows, settings).map((row) => {
        const isForgotten = row.peer.port === 0 && row.state !== 'LISTEN';
        const event: SocketEvent = { event: 'ended', atMs, ...row, peer: isForgotten ? null : row.peer };
        return json ? jsonText(event) : lineOf(event);
      });
    },
    limit,
    json,
    lost: LOST,
  });
}

const LOST = {
  code: 'SOCKET_EVENTS_LOST',
  message:
    'sockets ended faster than they were written, and the kernel dropped some; how many it does not tell',
  hint: 'write to a file, or use --by and --watch, which read all sockets',
} as const;

function listen(): NetlinkEvents {
  return new NetlinkEvents({
    protocol: NETLINK_SOCK_DIAG,
    groups: SOCKET_END_GROUPS,
    queueBytes: EVENT_QUEUE_BYTES,
  });
}

/** The kernel tells of a socket's end when nobody has it any more: whose it was is known from before. */
class SocketEnds {
  readonly #reader: SocketsReader;
  readonly #intervalMs: number;
  readonly #isProbe = finwaitAddresses();
  readonly #ephemeralFrom = readEphemeralFrom();
  #known = new Map<string, SocketRow>();
  /** As of the look before: what ended just before the last one is told of after it. */
  #before = new Map<string, SocketRow>();
  #nextMs = Number.NEGATIVE_INFINITY;

  /** @param intervalMs time between two looks at all sockets */
  constructor(reader: SocketsReader, intervalMs: number) {
    this.#reader = reader;
    this.#intervalMs = intervalMs;
  }

  look(nowMs: number): void {
    if (nowMs < this.#nextMs) return;
    const before = this.#known;
    this.#before = before;
    this.#known = new Map(
      this.#reader
        .read()
        .owned()
        .map((row) => {
          const name = nameOf(row);
          return [name, heldBy(row, before.get(name))];
        }),
    );
    this.#nextMs = nowMs + this.#intervalMs;
  }

  /** Undefined when the message is none of sockets. */
  rowsOf(datagram: Uint8Array, netns: number): SocketRow[] | undefined {
    const messages = decodeMessages(datagram);
    if (!messages.ok) return undefined;
    const table = new SocketTable({
      dump: (onSocket) => {
        for (const { payload } of messages.value) onSocket(viewOf(payload), 0, payload.length);
      },
      processes: new ProcessTable(),
      maxTracked: Number.POSITIVE_INFINITY,
      ephemeralFrom: this.#ephemeralFrom,
      details: true,
    });
    table.read(0);
    if (table.counters.undecodable > 0) return undefined;
    const context = {
      nowMs: 0,
      followed: false,
      namespace: { inode: netns, pod: undefined },
      interfaceName: String,
      isProbe: this.#isProbe,
      podNames: new Map<string, string>(),
    };
    return [...table.sockets()].map((socket) => this.#completed(socketRow(socket, context)));
  }

  #completed(row: SocketRow): SocketRow {
    const name = nameOf(row);
    const known = this.#known.get(name) ?? this.#before.get(name);
    if (known === undefined) return row;
    const { state, direction, process, attribution, pod, podBy, podName, own } = known;
    // A reset by its own program leaves the socket without ends before it goes.
    const { local, peer } = row.peer.port === 0 ? known : row;
    return { ...row, local, peer, state, direction, process, attribution, pod, podBy, podName, own };
  }
}

/** A process that ends is gone before its sockets are. */
function heldBy(row: SocketRow, before: SocketRow | undefined): SocketRow {
  if (row.process !== null || before === undefined) return row;
  const { process, attribution, pod, podBy, podName, own } = before;
  return { ...row, process, attribution, pod, podBy, podName, own };
}

/** `13:37:00.123  ended  CLOSE-WAIT  10.0.0.1:80 → 10.0.0.9:50000  nginx/812  1,024 B in, 20 B out, 2 retransmits, rtt 1.2 ms` */
function lineOf(event: SocketEvent): string {
  const { atMs, state, bytesReceived, bytesAcked, retransmits, rttUs, podName, pod } = event;
  const figures = [
    bytesReceived !== null && `${count(bytesReceived)} B in`,
    bytesAcked !== null && `${count(bytesAcked)} B out`,
    retransmits !== null && retransmits > 0 && `${count(retransmits)} retransmits`,
    rttUs !== null && rttUs > 0 && `rtt ${latency(rttUs)}`,
  ].filter((each) => each !== false);
  return [
    new Date(atMs).toISOString().slice(11, 23),
    event.event,
    state.padEnd(11),
    `${localText(event)} → ${event.peer === null ? '-' : peerText({ ...event, peer: event.peer })}`,
    processCell(event).text,
    ...(pod === null ? [] : [podName ?? pod.uid]),
    figures.join(', '),
  ].join('  ');
}
