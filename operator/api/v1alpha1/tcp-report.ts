/** TCPReport: the closing connections of one workload. The schema is in the chart. */

import type { StatusCondition } from './condition.ts';

/** Bounds of the schema. */
export const TCP_REPORT_LIMITS = { pods: 10, groups: 20, peer: 128, process: 128 } as const;

export interface TcpReportSpec {
  readonly workload: { readonly apiVersion: string; readonly kind: string; readonly name: string };
}

export interface TcpReportStatus {
  readonly observedAt: string;
  readonly podCount: number;
  readonly verdict: string;
  readonly message: string;
  readonly topPeer?: string;
  readonly topProcess?: string;
  readonly closeWait: {
    readonly count: number;
    readonly perMinute?: string;
    readonly oldestSince?: string;
  };
  readonly timeWait: { readonly count: number; readonly perSecond: string };
  /** CLOSE_WAIT first. */
  readonly pods: readonly TcpReportPod[];
  readonly groups: readonly TcpReportGroup[];
  readonly foldedConnections: number;
  readonly conditions: readonly StatusCondition[];
}

export interface TcpReportPod {
  readonly name: string;
  readonly node: string;
  readonly timeWait: number;
  readonly closeWait: number;
}

export interface TcpReportGroup {
  readonly state: 'CLOSE_WAIT' | 'TIME_WAIT';
  readonly count: number;
  readonly direction: 'inbound' | 'outbound';
  readonly peer: string;
  readonly port: number;
  readonly process?: string;
  readonly container?: string;
}
