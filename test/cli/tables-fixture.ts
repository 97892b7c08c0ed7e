/** Rows of the table commands, and an output that is caught. */

import { PassThrough } from 'node:stream';
import type { FlowRow } from '../../cli/conntrack-rows.ts';
import type { CliIo } from '../../cli/io.ts';
import type { SocketRow } from '../../cli/sockets-rows.ts';
import { written } from './cli-run.ts';

export function socket(fields: Partial<SocketRow> = {}): SocketRow {
  return {
    state: 'ESTABLISHED',
    family: 4,
    local: { address: '10.0.0.1', port: 40_000 },
    peer: { address: '10.0.0.2', port: 443 },
    direction: 'outbound',
    process: { pid: 100, name: 'curl' },
    attribution: 'socket',
    pod: null,
    podBy: null,
    podName: null,
    netns: 4_026_531_840,
    ageMs: null,
    ageBasis: null,
    recvQueue: 0,
    sendQueue: 0,
    queueTrend: null,
    timer: null,
    rttUs: 120,
    retransmits: 0,
    lastDataReceivedMs: 1_000,
    lastDataSentMs: 1_000,
    lastAckReceivedMs: 1_000,
    bytesReceived: 0,
    bytesAcked: 0,
    shutdown: null,
    memory: null,
    transmission: null,
    congestion: 'cubic',
    bindAddressNoPort: false,
    uid: 0,
    inode: 7,
    cookie: '1a',
    interface: null,
    dualStack: false,
    own: false,
    ...fields,
  };
}

export function flow(fields: Partial<FlowRow> = {}): FlowRow {
  return {
    family: 4,
    state: 'ESTABLISHED',
    source: { address: '10.0.0.1', port: 40_000 },
    destination: { address: '10.96.0.1', port: 443 },
    natDestination: null,
    natSource: null,
    mark: 0,
    zone: 0,
    replied: true,
    assured: true,
    closedFirst: null,
    timeoutMs: 60_000,
    idleMs: 60_000,
    sent: null,
    received: null,
    ageMs: null,
    own: false,
    opener: null,
    acceptor: null,
    ...fields,
  };
}

export interface CaughtIo extends CliIo {
  readonly lines: () => string[];
}

/** @param columns the width of a terminal; absent: a pipe */
export function caughtIo(columns?: number, env: Record<string, string> = { LANG: 'C.UTF-8' }): CaughtIo {
  const stdout = new PassThrough();
  return {
    stdout,
    stderr: new PassThrough(),
    env,
    columns,
    isTTY: columns !== undefined,
    lines: () => written(stdout).split('\n').slice(0, -1),
  };
}
