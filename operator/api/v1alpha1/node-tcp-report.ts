/** NodeTCPReport: what the agent of one node sees. The schema is in the chart. */

import type { StatusCondition } from './condition.ts';

export interface NodeTcpReportStatus {
  readonly observedAt: string;
  readonly established?: number;
  readonly timeWait?: number;
  readonly closeWait?: number;
  readonly states?: readonly StateCount[];
  /** Probes with verdict open, of all: `11/12`. */
  readonly probes?: string;
  readonly conntrack?: {
    readonly state: 'On' | 'Idle' | 'Unreadable';
    readonly count?: number;
    readonly max?: number;
    readonly fill?: string;
    readonly timeToFull?: string;
    readonly states?: readonly StateCount[];
  };
  /** Local ports: of the destination, or the masqueraded address, that has the largest part in use. */
  readonly ports?: {
    readonly fill: string;
    readonly exhaustedIn?: string;
    readonly destinations: readonly (PortFigures & {
      readonly pod?: string;
      /** Inode, where it is not the node's own and no pod is known whose it is. */
      readonly netns?: number;
      readonly source: string;
      readonly timeWait: number;
    })[];
    readonly masqueraded: readonly (PortFigures & {
      readonly address: string;
      readonly consumers: readonly {
        readonly source: string;
        readonly count: number;
        readonly pod?: string;
      }[];
    })[];
  };
  /** Counters of the kernel that rise where connections are lost, the fastest first. */
  readonly losses?: readonly {
    /** `node`, `namespace/name` of a pod, or `netns INODE`. */
    readonly network: string;
    readonly counter: string;
    readonly perMinute: number;
  }[];
  /** Sockets and conntrack held against each other. */
  readonly comparison?: {
    readonly state: 'Compared' | 'ConntrackIdle' | 'ConntrackIncomplete' | 'SocketsIncomplete';
    readonly socketsWithoutFlow?: number;
    readonly flowsWithoutSocket?: number;
    readonly flowsKeptLong?: number;
  };
  readonly agent: {
    readonly state: string;
    readonly mode?: string;
    readonly version?: string;
    readonly kernel?: string;
    readonly memory?: string;
  };
  readonly problems: readonly { readonly code: string; readonly message: string; readonly hint: string }[];
  readonly conditions: readonly StatusCondition[];
}

export interface StateCount {
  readonly state: string;
  readonly count: number;
}

interface PortFigures {
  /** `192.0.2.1:443`, `[2001:db8::1]:443` */
  readonly destination: string;
  readonly used: number;
  readonly usable: number;
  readonly exhaustedIn?: string;
}

/** Bounds of the schema. */
export const NODE_REPORT_LIMITS = {
  problems: 16,
  conntrackStates: 32,
  conntrackState: 16,
  destinations: 5,
  consumers: 5,
  losses: 10,
} as const;
