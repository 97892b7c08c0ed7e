/**
 * The kernel's events of conntrack, listened to for as long as that is possible: where it was refused, or broke off, it is
 * tried again. An agent lives on without them, by dumps.
 */

import type { Condition } from '#base/errors.ts';
import { conditionOf } from '#base/errors.ts';
import type { OnDatagram } from '../kernel/netlink-events.ts';
import { NetlinkEvents } from '../kernel/netlink-events.ts';
import { tcpEventsFilter } from '../netlink/conntrack-filter.ts';
import { CONNTRACK_EVENT_GROUPS, NETLINK_NETFILTER } from '../netlink/ctnetlink-attributes.ts';
import type { EventSource } from './conntrack-follower.ts';
import { readingConntrackEvents } from './refusals.ts';

/** The kernel doubles it: about 52,000 events, a quarter of a second at 200,000 in a second. */
const QUEUE_BYTES = 32 << 20;

/** What is needed of a socket that listens. */
export type Listener = Pick<NetlinkEvents, 'read' | 'counters' | 'queueForced'> & Disposable;

export class ConntrackEvents implements EventSource, Disposable {
  /** Why they are not listened to. */
  refusal: Condition | undefined;
  /** Whether the kernel gave the queue that was asked for. */
  #queueForced = true;
  readonly #open: () => Listener;
  #listener: Listener | undefined;
  /** Times that listening broke off. */
  #failures = 0;
  /** Of the listeners that are closed. */
  #dropped = { foreignSender: 0, truncated: 0 };
  /** Something may have happened while nobody listened. */
  #gap = false;

  /** @param open makes a socket that listens; throws NetlinkError */
  constructor(queueBytes = QUEUE_BYTES, open: () => Listener = () => listen(queueBytes)) {
    this.#open = open;
  }

  get listening(): boolean {
    return this.#listener !== undefined;
  }

  get counters(): { readonly failures: number; readonly foreignSender: number; readonly truncated: number } {
    const { foreignSender = 0, truncated = 0 } = this.#listener?.counters ?? {};
    return {
      failures: this.#failures,
      foreignSender: this.#dropped.foreignSender + foreignSender,
      truncated: this.#dropped.truncated + truncated,
    };
  }

  /** What it means that events come faster than they are read. */
  get loss(): Condition {
    return this.#queueForced ? LOSS : LOSS_OF_SHORT_QUEUE;
  }

  /** Begins to listen, if it does not yet. */
  listen(): void {
    if (this.#listener !== undefined) return;
    try {
      const listener = readingConntrackEvents(this.#open);
      this.#listener = listener;
      this.#queueForced = listener.queueForced;
      this.refusal = undefined;
    } catch (error) {
      this.refusal = conditionOf(error);
      this.#gap = true;
    }
  }

  read(onDatagram: OnDatagram, most: number): ReturnType<EventSource['read']> {
    const listener = this.#listener;
    if (listener === undefined) return 'empty';
    if (this.#gap) {
      this.#gap = false;
      return 'gap';
    }
    try {
      return readingConntrackEvents(() => listener.read(onDatagram, most));
    } catch (error) {
      this.refusal = conditionOf(error);
      this[Symbol.dispose]();
      this.#failures++;
      this.#gap = true;
      return 'gap';
    }
  }

  [Symbol.dispose](): void {
    this.#dropped = this.counters;
    this.#listener?.[Symbol.dispose]();
    this.#listener = undefined;
  }
}

function listen(queueBytes: number): NetlinkEvents {
  return new NetlinkEvents({
    protocol: NETLINK_NETFILTER,
    groups: CONNTRACK_EVENT_GROUPS,
    queueBytes,
    filter: tcpEventsFilter(),
  });
}

const LOSS: Condition = {
  code: 'CONNTRACK_EVENTS_LOST',
  message: 'events of conntrack came faster than they were read, and some were lost; the table is read anew',
  hint: 'ends and lifetimes of flows are counted too low; if it persists, give the agent more processor time',
};

const LOSS_OF_SHORT_QUEUE: Condition = {
  ...LOSS,
  hint: `the queue for events is short, because the kernel bounds it by net.core.rmem_max: sysctl -w net.core.rmem_max=${QUEUE_BYTES}, or give the agent CAP_NET_ADMIN outside of any user namespace`,
};
