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

/** Bounds of the schema. */
export const NODE_REPORT_LIMITS = { problems: 16, conntrackStates: 32, conntrackState: 16 } as const;
