/** Results, tables, time and an operator for the tests of the report room. */

import { createLogger } from '#base/log.ts';
import type { AgentHealth, ProbeResult, Report, SegmentRecord, SocketSummary } from '#contract';
import { CONTRACT_VERSION, DEFAULT_PROBE_LIMITS } from '#contract';
import type { Clock } from '../../../daemon/report/clock.ts';
import type { Pusher, PushOutcome } from '../../../daemon/report/push.ts';

export const BOOT = '6f1c2f86-6d37-4cc0-b0a4-3a3a5b0f2b11';
export const INSTANCE = '0d8c1f4e-12ab-4f7e-9f51-0b0c2a0f7a01';
export const HEALTH: AgentHealth = {
  rssBytes: 1,
  cpuSeconds: 0.5,
  loopLagMs: 2,
  counters: { 'report.cut': 1 },
};

const SYN_OPTIONS = { mss: 1460, windowScale: 7, sackPermitted: true, timestamps: true };

let resultsMade = 0;

export function makeResult(changes: Partial<ProbeResult> = {}): ProbeResult {
  resultsMade++;
  return {
    id: resultsMade.toString(16).padStart(32, '0'),
    target: { name: 'db:5432', host: 'db', port: 5432, origin: 'user' },
    family: 4,
    local: { address: '198.18.77.2', port: 40_000 },
    remote: { address: '10.0.0.1', port: 5432 },
    startUs: 1_700_000_000_000_000,
    verdict: 'open',
    sentence: '10.0.0.1:5432 is open',
    phases: [{ name: 'handshake', fromUs: 0, toUs: 900, ok: true }],
    steps: { synSentUs: 0, synAckReceivedUs: 800, ackSentUs: 900 },
    segments: [],
    segmentsFolded: 0,
    options: { offered: SYN_OPTIONS, accepted: SYN_OPTIONS },
    retransmits: { syn: 0, data: 0, fin: 0 },
    handshakeNetUs: 900,
    ...changes,
  };
}

export function makeSegment(): SegmentRecord {
  return {
    atUs: 1,
    direction: 'out',
    kind: 'tcp',
    flags: ['SYN'],
    seq: 0,
    length: 0,
    window: 64_240,
    retransmission: false,
  };
}

export function makeSockets(changes: Partial<SocketSummary> = {}): SocketSummary {
  return {
    states: [{ family: 4, state: 'LISTEN', count: 1 }],
    holders: [],
    folded: [],
    listeners: [],
    listenersFolded: 0,
    ...changes,
  };
}

export function makeReport(seq: number, results: number, changes: Partial<Report> = {}): Report {
  return {
    version: CONTRACT_VERSION,
    boot: BOOT,
    seq,
    agent: { version: '0.1.0', hostname: 'a', kernel: '6.18', mode: 'probe' },
    fromMs: 1_700_000_000_000 + seq,
    toMs: 1_700_000_001_000 + seq,
    probes: Array.from({ length: results }, () => makeResult()),
    health: HEALTH,
    conditions: [],
    ...changes,
  };
}

export function listenerTargetOf(name: string, host: string, port: number) {
  return { name, host, port, origin: 'listener', intervalMs: 10_000, limits: DEFAULT_PROBE_LIMITS } as const;
}

/** A clock that stands still until it is told to run. */
export class VirtualClock implements Clock {
  #nowMs = 0;
  #timers: { readonly dueMs: number; readonly callback: () => void }[] = [];

  nowMs(): number {
    return this.#nowMs;
  }

  unixMs(): number {
    return 1_700_000_000_000 + this.#nowMs;
  }

  after(ms: number, callback: () => void): () => void {
    const timer = { dueMs: this.#nowMs + ms, callback };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  /** Lets time pass, timer by timer, with all that follows from each before the next. */
  async run(ms: number): Promise<void> {
    const endMs = this.#nowMs + ms;
    await settle();
    for (;;) {
      const next = this.#timers.toSorted((a, b) => a.dueMs - b.dueMs)[0];
      if (next === undefined || next.dueMs > endMs) break;
      this.#nowMs = Math.max(this.#nowMs, next.dueMs);
      this.#timers = this.#timers.filter((other) => other !== next);
      next.callback();
      await settle();
    }
    this.#nowMs = endMs;
  }
}

/** Lets everything that is ready run. Nothing in these tests waits for more than other microtasks. */
async function settle(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}

/** An operator as the reporter sees it: answers as it is told, and remembers what it took, once each. */
export class FakeOperator implements Pusher {
  instance = INSTANCE;
  /** What the next pushes get instead of an acknowledgement. */
  failing: Exclude<PushOutcome, { kind: 'acknowledged' }> | undefined;
  /** Acknowledge only up to this number. */
  settledUpTo = Number.POSITIVE_INFINITY;
  reportIntervalMs = 5_000;
  readonly pushedAtMs: number[] = [];
  readonly taken: Report[] = [];
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  push: Pusher['push'] = async (body) => {
    this.pushedAtMs.push(this.#clock.nowMs());
    if (this.failing !== undefined) return this.failing;
    const report = JSON.parse(body) as Report;
    const known = this.taken.some(({ boot, seq }) => boot === report.boot && seq === report.seq);
    if (!known) this.taken.push(report);
    return {
      kind: 'acknowledged',
      ack: {
        version: CONTRACT_VERSION,
        boot: report.boot,
        instance: this.instance,
        seq: Math.min(report.seq, this.settledUpTo),
        assignment: { targets: [], reportIntervalMs: this.reportIntervalMs },
      },
    };
  };

  /** Ids of the results of all reports taken, in order. */
  get resultIds(): string[] {
    return this.taken.flatMap(({ probes }) => probes.map(({ id }) => id));
  }

  close(): void {}
}

/** A logger that keeps its lines. */
export function makeLog(): { readonly lines: string[]; readonly log: ReturnType<typeof createLogger> } {
  const lines: string[] = [];
  return { lines, log: createLogger('agent', 'info', 'text', (line) => void lines.push(line)) };
}
