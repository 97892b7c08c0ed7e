/** A machine with something of everything, as the operator would tell of it. */

import type { Holder, Listener, ProbeResult, Verdict } from '#contract';
import type { ViewModel } from '../../cli/view-model.ts';
import type { NodeView, Overview } from '../../operator/fleet/view.ts';

export const NOW_MS = Date.UTC(2026, 10, 21, 4, 0, 0);

export function holder(over: Partial<Holder> = {}): Holder {
  return {
    state: 'CLOSE-WAIT',
    direction: 'outbound',
    process: { pid: 4211, name: 'java' },
    attribution: 'socket',
    peer: '10.0.0.5',
    port: 5432,
    count: 12,
    oldestMs: 192_000,
    ...over,
  };
}

export function listener(address: string, port: number, name: string, pid: number): Listener {
  const family = address.includes(':') ? 6 : 4;
  return { local: { address, port }, family, process: { pid, name }, acceptQueue: 0, backlog: 128 };
}

let made = 0;

export function probe(name: string, verdict: Verdict = 'open', over: Partial<ProbeResult> = {}): ProbeResult {
  const [host = '', port = ''] = name.split(':');
  const open = verdict === 'open';
  made++;
  return {
    id: made.toString(16).padStart(32, '0'),
    target: { name, host, port: Number(port), origin: 'user' },
    family: 4,
    local: { address: '198.18.77.2', port: 40_000 },
    remote: { address: host, port: Number(port) },
    startUs: (NOW_MS - 3000) * 1000,
    verdict,
    sentence: `said to be ${verdict}`,
    phases: [
      { name: 'handshake', fromUs: 0, toUs: 132, ok: open },
      ...(open ? [{ name: 'close', fromUs: 140, toUs: 391, ok: true } as const] : []),
    ],
    steps: { synSentUs: 0 },
    segments: [],
    segmentsFolded: 0,
    options: { offered: { sackPermitted: true, timestamps: true }, accepted: null },
    retransmits: { syn: 0, data: 0, fin: 0 },
    ...over,
  };
}

export function nodeView(over: Partial<NodeView> = {}): NodeView {
  return {
    name: 'alpha',
    boot: '6f0d9c3e-0000-4000-8000-000000000001',
    seq: 7,
    lastReportMs: NOW_MS - 400,
    stale: false,
    reports: { applied: 7, duplicates: 0, missing: 0, boots: 1 },
    agent: { version: '0.1.0', hostname: 'alpha', kernel: '6.12.1', mode: 'probe' },
    sockets: {
      states: [
        { family: 4, state: 'LISTEN', count: 12 },
        { family: 4, state: 'ESTABLISHED', count: 1204 },
        { family: 4, state: 'TIME-WAIT', count: 45 },
        { family: 4, state: 'CLOSE-WAIT', count: 12 },
        { family: 6, state: 'LISTEN', count: 4 },
        { family: 6, state: 'FIN-WAIT-2', count: 1 },
      ],
      holders: [
        holder(),
        holder({
          state: 'TIME-WAIT',
          direction: 'inbound',
          process: { pid: 80, name: 'nginx' },
          attribution: 'listener',
          peer: '2001:db8::7',
          port: 443,
          count: 31,
          oldestMs: 41_000,
        }),
        holder({ state: 'TIME-WAIT', process: null, attribution: 'unknown', count: 14, oldestMs: 8_000 }),
      ],
      folded: [{ state: 'TIME-WAIT', groups: 3, sockets: 5 }],
      listeners: [listener('0.0.0.0', 22, 'sshd', 812), listener('127.0.0.1', 5432, 'postgres', 900)],
      listenersFolded: 0,
    },
    conntrack: {
      status: 'on',
      count: 1234,
      max: 262_144,
      states: [
        { state: 'ESTABLISHED', count: 1100 },
        { state: 'TIME_WAIT', count: 130 },
      ],
      own: 4,
    },
    health: { rssBytes: 80 << 20, cpuSeconds: 1.5, loopLagMs: 2, counters: {} },
    conditions: [],
    probes: [
      probe('db.example:5432', 'filtered', {
        sentence: 'no answer to 4 SYNs in 10 s',
        remote: { address: '10.0.0.5', port: 5432 },
        retransmits: { syn: 3, data: 0, fin: 0 },
      }),
      probe('127.0.0.1:22', 'open', {
        target: { name: '127.0.0.1:22', host: '127.0.0.1', port: 22, origin: 'listener' },
      }),
      probe('127.0.0.1:5432', 'open', {
        target: { name: '127.0.0.1:5432', host: '127.0.0.1', port: 5432, origin: 'listener' },
      }),
    ],
    assigned: [],
    ...over,
  };
}

export function overview(node: NodeView | undefined, over: Partial<Overview['operator']> = {}): Overview {
  return {
    generatedAtMs: NOW_MS,
    operator: {
      version: '0.1.0',
      startedAtMs: NOW_MS - 65_000,
      telemetry: { traces: 'off', metrics: 'off', waiting: 0, accepted: 0, lost: 0 },
      counters: {},
      conditions: [],
      ...over,
    },
    nodes: node === undefined ? [] : [node],
  };
}

export function model(over: Partial<ViewModel> = {}): ViewModel {
  return {
    nowMs: NOW_MS,
    startedAtMs: NOW_MS - 67_000,
    webUrl: 'http://127.0.0.1:7460/',
    overview: overview(nodeView()),
    conditions: [],
    trends: new Map(),
    newestSeriesMs: NOW_MS - 60_000,
    probesListeners: true,
    unreadNamespaces: 0,
    ...over,
  };
}

export const TUN_DENIED = {
  code: 'TUN_DENIED',
  message: 'the TUN device may not be opened: Operation not permitted',
  hint: 'run as root, or give the process CAP_NET_ADMIN',
} as const;
