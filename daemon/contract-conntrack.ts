/** What a report says of conntrack beyond its fill: how it is followed, how fast it turns over, how flows end. */

/** What the kernel counted of flows. */
export interface FlowTraffic {
  readonly packets: number;
  readonly bytes: number;
}

export interface FlowConsumer {
  readonly address: string;
  /** Flows. */
  readonly count: number;
  /** By those who opened the connections, and to them; absent where the kernel has not counted any of the flows. */
  readonly sent?: FlowTraffic;
  readonly received?: FlowTraffic;
}

export interface FlowDestination extends FlowConsumer {
  readonly port: number;
}

export interface ConntrackActivity {
  /** `dumps`: the kernel sends no events, so what begins and ends between two readings goes unseen. */
  readonly followed: 'events' | 'dumps';
  /** How the kernel is set; what is off, flows lack. */
  readonly settings: {
    /** `on-demand`: of flows that began before anybody listened nothing is told. */
    readonly events: 'on' | 'on-demand' | 'off';
    readonly accounting: boolean;
    readonly timestamps: boolean;
  };
  /** TCP flows that began and ended since the last sweep; absent without events. */
  readonly begunPerS?: number;
  readonly endedPerS?: number;
  /** Entries of any protocol by which the table grows, smoothed over a minute; below 0 when it shrinks. */
  readonly growthPerS?: number;
  /** Time until it is full at this growth; absent when it does not grow. */
  readonly toFullMs?: number;
  /** Totals since the agent started, by reason; those that have not occurred are left out. */
  readonly ends: readonly { readonly reason: string; readonly count: number }[];
  /** Lifetimes of the flows that ended since the agent started; `counts` has one more than the bounds. */
  readonly lifetimes: readonly {
    /** `kernel`: by its time stamps. `seen`: from the event of the begin to that of the end. */
    readonly basis: 'kernel' | 'seen';
    readonly counts: readonly number[];
    readonly sumMs: number;
  }[];
  readonly lifetimeBoundsMs: readonly number[];
  /** Flows that ended and whose begin nobody saw. */
  readonly lifetimesUnknown: number;
  /** Who has the most TCP flows, largest first. */
  readonly sources: readonly FlowConsumer[];
  readonly destinations: readonly FlowDestination[];
  /** Whose TCP flows carried the most bytes, as of the last reading; absent while the kernel does not count them. */
  readonly sourcesByBytes?: readonly FlowConsumer[];
  readonly destinationsByBytes?: readonly FlowDestination[];
  /** Age of the oldest TCP flow by the kernel's time stamps; absent where no flow has one. */
  readonly oldestFlowMs?: number;
  /** What all processors count of conntrack, since the agent started. */
  readonly statistics: readonly {
    /** `drop`, `earlyDrop`, `insertFailed`, `chainTooLong`, ... */
    readonly name: string;
    readonly total: number;
    readonly perS?: number;
  }[];
}

export const CONNTRACK_ACTIVITY_LIMITS = {
  ends: 16,
  lifetimes: 32,
  consumers: 20,
  statistics: 32,
} as const;
