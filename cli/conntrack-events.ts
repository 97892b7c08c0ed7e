/** `finwait conntrack --events`: a line for each flow that begins, changes or ends, as the kernel tells it. */

import { FOOTPRINT_MARK } from '../daemon/kernel/host-tun.ts';
import { NetlinkEvents } from '../daemon/kernel/netlink-events.ts';
import { tcpEventsFilter } from '../daemon/netlink/conntrack-filter.ts';
import type { ConntrackFlow } from '../daemon/netlink/ctnetlink.ts';
import { decodeFlow, IPPROTO_TCP, NETLINK_NETFILTER } from '../daemon/netlink/ctnetlink.ts';
import {
  CONNTRACK_EVENT_GROUPS,
  CONNTRACK_TCP_STATES,
  STATUS,
} from '../daemon/netlink/ctnetlink-attributes.ts';
import { decodeMessages, NLM_F_CREATE, NLM_F_EXCL } from '../daemon/netlink/message.ts';
import { flowOf } from '../daemon/track/conntrack-flows.ts';
import { endReason } from '../daemon/track/flow-ends.ts';
import { readConntrackFill, readConntrackSettings } from '../daemon/track/kernel-numbers.ts';
import { readingConntrack } from '../daemon/track/refusals.ts';
import type { FlowRow } from './conntrack-rows.ts';
import { flowFilter } from './conntrack-rows.ts';
import type { ConntrackSettings, FlowEventKind } from './conntrack-settings.ts';
import { endText, NO_USE, natCell } from './conntrack-view.ts';
import { EVENT_QUEUE_BYTES, streamEvents } from './event-stream.ts';
import type { CliIo } from './io.ts';
import { jsonText } from './json-text.ts';
import { inside } from './place.ts';
import { printConditions } from './table.ts';

/** An event as `--json` prints it. */
export interface FlowEvent extends FlowRow {
  readonly event: FlowEventKind;
  /** Unix time at which it was read. */
  readonly atMs: number;
  /** Why it ended; null otherwise. */
  readonly reason: string | null;
}

export async function runEvents(settings: ConntrackSettings, io: CliIo): Promise<number> {
  const json = settings.json || settings.output === 'json';
  if (inside(settings.netns, readConntrackSettings).events === 0) {
    printConditions(io, [
      {
        code: 'CONNTRACK_EVENTS_OFF',
        message: 'the kernel tells no events: net.netfilter.nf_conntrack_events is 0',
        hint: 'sysctl -w net.netfilter.nf_conntrack_events=1',
      },
    ]);
  }
  if (inside(settings.netns, readConntrackFill).count === 0) {
    printConditions(io, [
      {
        code: 'CONNTRACK_UNUSED',
        message: `conntrack holds no flow: ${NO_USE}, and then there are no events`,
        hint: 'a rule with "ct state" or NAT sets conntrack going; --netns looks into another network namespace',
      },
    ]);
  }
  using source = inside(settings.netns, () =>
    readingConntrack(
      () =>
        new NetlinkEvents({
          protocol: NETLINK_NETFILTER,
          groups: CONNTRACK_EVENT_GROUPS,
          queueBytes: EVENT_QUEUE_BYTES,
          filter: tcpEventsFilter(settings.state),
        }),
    ),
  );
  const isSelected = eventFilter(settings);
  const successors = new Successors();
  return await streamEvents(io, {
    sources: [source],
    linesOf: (datagram, atMs) =>
      eventsOf(datagram, atMs).flatMap((event) => {
        if (event === undefined) return [undefined];
        successors.note(event);
        if (!isSelected(event)) return [];
        const told = () => ({ ...event, reason: successors.reasonOf(event) });
        return [() => (json ? jsonText(told()) : lineOf(told()))];
      }),
    limit: settings.limit,
    json,
    lost: LOST,
  });
}

const LOST = {
  code: 'CONNTRACK_EVENTS_LOST',
  message:
    'events came faster than they were written, and the kernel dropped some; how many it does not tell',
  hint: 'let fewer through (--state is applied in the kernel), or write to a file',
} as const;

/** Knows the flows that made room for a new connection with the same ends, by the begin that is read with their end. */
export class Successors {
  #atMs = Number.NaN;
  readonly #removed = new Map<string, FlowEvent>();
  readonly #reused = new Set<FlowEvent>();

  note(event: FlowEvent): void {
    if (event.atMs !== this.#atMs) {
      this.#removed.clear();
      this.#reused.clear();
      this.#atMs = event.atMs;
    }
    const name = `${endText(event.source)} ${endText(event.destination)} ${event.zone}`;
    const before = this.#removed.get(name);
    if (event.event === 'begun' && before !== undefined) this.#reused.add(before);
    if (event.reason === 'removed' && (event.state === 'TIME_WAIT' || event.state === 'CLOSE')) {
      this.#removed.set(name, event);
    } else {
      this.#removed.delete(name);
    }
  }

  /** Asked for when all that was read at once has been noted. */
  reasonOf(event: FlowEvent): FlowEvent['reason'] {
    return this.#reused.has(event) ? 'reused' : event.reason;
  }
}

/** Undefined where a message is no event of a flow. Flows of other protocols are passed over. */
function eventsOf(datagram: Uint8Array, atMs: number): (FlowEvent | undefined)[] {
  const messages = decodeMessages(datagram);
  if (!messages.ok) return [undefined];
  return messages.value.flatMap(({ type, flags, payload }) => {
    const flow = decodeFlow(payload);
    if (!flow.ok) return [undefined];
    if (flow.value.original.protocol !== IPPROTO_TCP) return [];
    const begun = (flags & (NLM_F_CREATE | NLM_F_EXCL)) !== 0;
    return [eventOf((type & 0xff) === 2 ? 'ended' : begun ? 'begun' : 'changed', flow.value, atMs)];
  });
}

function eventOf(event: FlowEventKind, flow: ConntrackFlow, atMs: number): FlowEvent {
  // A state has just begun with an event: what has passed of its time is nothing.
  const row = flowOf(flow, () => null, atMs);
  const state = CONNTRACK_TCP_STATES.indexOf(row.state ?? 'NONE');
  const reason = endReason({
    state,
    replied: (flow.status & STATUS.seenReply) !== 0,
    timeoutS: flow.timeoutS,
  });
  return {
    event,
    atMs,
    ...row,
    reason: event === 'ended' ? reason : null,
    own: flow.mark === FOOTPRINT_MARK,
    opener: null,
    acceptor: null,
  };
}

/** An event that tells no state passes every filter but one for states. */
function eventFilter(settings: ConntrackSettings): (event: FlowEvent) => boolean {
  const isSelected = flowFilter(settings);
  const { state, only } = settings;
  return (event) =>
    (event.state !== null || state.length === 0) &&
    (only.length === 0 || only.includes(event.event)) &&
    isSelected(event);
}

/** `13:37:00.123  ended    TIME_WAIT    10.0.0.1:40000 → 10.0.0.2:443  to ...  closed` */
function lineOf(event: FlowEvent): string {
  const nat = natCell(event).text;
  return [
    new Date(event.atMs).toISOString().slice(11, 23),
    event.event.padEnd(7),
    (event.state ?? '-').padEnd(11),
    `${endText(event.source)} → ${endText(event.destination)}`,
    ...(nat === '-' ? [] : [nat]),
    ...(event.zone === 0 ? [] : [`zone ${event.zone}`]),
    ...(event.own ? ['finwait'] : []),
    ...(event.reason === null ? [] : [event.reason]),
  ].join('  ');
}
