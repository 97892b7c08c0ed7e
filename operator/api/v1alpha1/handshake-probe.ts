/** HandshakeProbe: what users want probed, and what was found. The schema is in the chart. */

import type { StatusCondition } from './condition.ts';
import type { LabelSelector } from './diagnosis-policy.ts';

/** Bounds of the schema. */
export const HANDSHAKE_PROBE_LIMITS = {
  results: 64,
  endpoints: 32,
  targetsText: 256,
  resultText: 128,
  message: 512,
  address: 64,
  tainted: 32,
} as const;

/** What holds where a spec says nothing. */
export const DEFAULT_INTERVAL = '30s';

export interface HandshakeProbeSpec {
  readonly targets: readonly HandshakeTarget[];
  readonly nodes?: { readonly names?: readonly string[]; readonly selector?: LabelSelector };
  /** Duration. */
  readonly interval?: string;
  readonly once?: boolean;
  readonly suspend?: boolean;
  readonly send?: string;
  readonly limits?: { readonly handshake?: string; readonly exchange?: string; readonly close?: string };
  readonly expect?: { readonly verdict?: ExpectedVerdict; readonly handshakeWithin?: string };
}

/** Exactly one of `address`, `host` and `service` is there. */
export interface HandshakeTarget {
  readonly name: string;
  readonly address?: string;
  readonly host?: string;
  readonly service?: {
    readonly name: string;
    readonly namespace?: string;
    readonly via?: 'ClusterIP' | 'Endpoints';
  };
  /** The name of a port only with `service`. */
  readonly port: number | string;
}

/** `Denied`: refused, filtered or rejected. */
export type ExpectedVerdict = 'Open' | 'Denied' | 'Refused' | 'Filtered' | 'Rejected';

export interface HandshakeProbeStatus {
  readonly observedGeneration: number;
  readonly targets: string;
  readonly result: string;
  readonly expected: string;
  readonly handshake?: string;
  readonly close?: string;
  readonly retransmits: number;
  readonly nodes: number;
  readonly lastProbeTime?: string;
  readonly message: string;
  /** Worst first. */
  readonly results: readonly HandshakeResult[];
  readonly foldedResults: number;
  readonly conditions: readonly StatusCondition[];
}

export interface HandshakeResult {
  readonly target: string;
  readonly node: string;
  /** `ADDRESS:PORT`; absent where a name did not resolve. */
  readonly address?: string;
  readonly verdict: string;
  readonly asExpected: boolean;
  readonly handshake?: string;
  readonly handshakeMicroseconds?: number;
  readonly close?: string;
  readonly closeMicroseconds?: number;
  readonly retransmits?: number;
  readonly tainted?: string;
  readonly time?: string;
  readonly traceId?: string;
  readonly message?: string;
}
