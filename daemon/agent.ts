/** The agent: its parts, how they are joined, and the order in which they start and stop. */

import { randomUUID } from 'node:crypto';
import { hostname, release } from 'node:os';
import { join } from 'node:path';
import { addressPolicy } from '#base/address-policy.ts';
import type { Condition, FinwaitError } from '#base/errors.ts';
import { conditionOf } from '#base/errors.ts';
import type { Logger } from '#base/log.ts';
import { promText } from '#base/prom-text.ts';
import { VERSION } from '#base/version.ts';
import type { AgentHealth, Assignment } from '#contract';
import { DEFAULT_PROBE_LIMITS } from '#contract';
import { ConditionLog } from './condition-log.ts';
import { EngineSlot } from './engine-slot.ts';
import type { AgentServer, AgentStatus } from './http.ts';
import { serveAgent } from './http.ts';
import { agentFamilies } from './metrics.ts';
import { ProbeMetrics } from './metrics-probes.ts';
import { boundCounters } from './report/bounds.ts';
import { systemClock } from './report/clock.ts';
import { ExhaustedPorts } from './report/exhausted-ports.ts';
import { createPusher } from './report/push.ts';
import { Reporter } from './report/reporter.ts';
import { Spool } from './report/spool.ts';
import { StalledListeners } from './report/stalled-listeners.ts';
import type { ListenerPlan, TargetPlan } from './report/targets.ts';
import { planTargets } from './report/targets.ts';
import { cpuSeconds, LoopLag, MemoryReturn, rssBytes } from './self.ts';
import type { AgentSettings } from './settings.ts';
import type { EngineConfig, EngineHandle } from './threads/engine-client.ts';
import type { TablesConfig, TablesHandle } from './threads/tables-client.ts';

const LAST_PUSH_MS = 2_000;
const NO_TARGETS: TargetPlan = { targets: [], folded: 0 };

/** How the workers are started, so that tests can put others in their place. */
export interface AgentDeps {
  readonly startTables: (config: TablesConfig) => TablesHandle;
  readonly startEngine: (config: EngineConfig) => EngineHandle;
  readonly log: Logger;
}

export class Agent {
  /** Where health and metrics are served. */
  readonly http: AgentServer;
  /** Resolves when a worker ends without having been told to. */
  readonly died: Promise<FinwaitError>;
  /** What the HTTP server tells. */
  readonly status: AgentStatus = {
    heartbeatsMs: () => this.#heartbeatsMs(),
    waitingFor: () => this.#waitingFor(),
    conditions: () => this.#conditions(),
    metrics: () => this.#metrics(),
  };
  readonly #settings: AgentSettings;
  readonly #tables: TablesHandle;
  /** Undefined in a mode that does not probe. */
  readonly #engine: EngineSlot | undefined;
  readonly #reporter: Reporter;
  readonly #spool: Spool;
  readonly #log: Logger;
  readonly #conditionLog: ConditionLog;
  readonly #probes = new ProbeMetrics();
  readonly #lag = new LoopLag();
  readonly #memoryReturn = new MemoryReturn();
  readonly #stalled = new StalledListeners();
  readonly #exhausted = new ExhaustedPorts();
  #assignment: Assignment | undefined;
  #plan = NO_TARGETS;
  #death: Condition | undefined;
  #stopping = false;

  private constructor(settings: AgentSettings, deps: AgentDeps, http: AgentServer, spool: Spool) {
    const { log } = deps;
    this.#settings = settings;
    this.http = http;
    this.#spool = spool;
    this.#log = log;
    this.#conditionLog = new ConditionLog(log);
    const { sweepIntervalMs, mode } = settings;
    this.#tables = deps.startTables({ sweepIntervalMs, allNamespaces: mode === 'inspect' });
    this.#engine = settings.mode === 'observe' ? undefined : this.#engineSlot(deps);
    const identity = {
      version: VERSION,
      hostname: hostname(),
      ...(settings.nodeName === '' ? {} : { node: settings.nodeName }),
      kernel: release(),
      mode: settings.mode,
    };
    this.#reporter = new Reporter(
      { boot: randomUUID(), identity, intervalMs: settings.reportIntervalMs },
      {
        clock: systemClock,
        random: Math.random,
        spool,
        pusher: createPusher(settings),
        log,
        health: () => this.#health(),
        conditions: () => this.#conditions(),
        onAssignment: (assignment) => {
          this.#assignment = assignment;
          this.#replan();
        },
      },
    );
    this.#tables.onSweep((sweep) => {
      this.#reporter.setTables(sweep);
      this.#stalled.update(sweep.sockets?.listeners ?? []);
      const nowMs = systemClock.nowMs();
      this.#exhausted.update(sweep, nowMs);
      this.#replan();
      this.#conditionLog.look(this.#localConditions(), nowMs);
    });
    this.died = Promise.race([this.#tables.died, ...(this.#engine === undefined ? [] : [this.#engine.died])]);
    this.died.then((error) => {
      this.#death = conditionOf(error);
    });
    this.#reporter.start();
  }

  /**
   * Starts all parts; what can be missing without the rest being useless is a condition.
   * @throws FinwaitError PORT_IN_USE, LISTEN_FAILED; with `requireTun` also why there is no engine
   */
  static async start(settings: AgentSettings, deps: AgentDeps): Promise<Agent> {
    const { stateDir, spoolBytes, httpListen } = settings;
    let agent: Agent | undefined;
    const http = await serveAgent(httpListen, {
      heartbeatsMs: () => agent?.status.heartbeatsMs() ?? {},
      waitingFor: () => agent?.status.waitingFor() ?? ['the start'],
      conditions: () => agent?.status.conditions() ?? [],
      metrics: () => agent?.status.metrics() ?? '',
    });
    const spool = await Spool.open(stateDir === '' ? undefined : join(stateDir, 'spool'), spoolBytes);
    agent = new Agent(settings, deps, http, spool);
    const engineStarted = agent.#engine?.start();
    const refusal = settings.requireTun ? await engineStarted : undefined;
    if (refusal !== undefined) {
      await agent.stop();
      throw refusal;
    }
    return agent;
  }

  /**
   * Readiness off, no more intake, the engine's connections reset and its device removed, the last report pushed.
   * Bounded in time; what is not delivered stays in the spool.
   */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.#replan();
    await Promise.all([this.#tables.stop(), this.#engine?.stop()]);
    await this.#reporter.stop(LAST_PUSH_MS);
    this.#tellUndelivered();
    await this.http.close();
    this.#lag[Symbol.dispose]();
    this.#memoryReturn[Symbol.dispose]();
  }

  #tellUndelivered(): void {
    const { results, inMemory } = this.#spool.size;
    const kept = results - inMemory;
    if (kept > 0)
      this.#log.log('info', `${kept} probe results are kept for the next start`, {
        in: this.#settings.stateDir,
      });
    if (inMemory > 0) {
      const hint = 'give --state-dir a directory that can be written to, and the next start delivers them';
      this.#log.log('warn', `${inMemory} probe results are lost: the operator did not take them in time`, {
        hint,
      });
    }
  }

  #engineSlot({ startEngine }: AgentDeps): EngineSlot {
    const { device, mtu, prefixV4, prefixV6, allowForwarding, footprint, stateDir } = this.#settings;
    const { probeAllow, probeDeny } = this.#settings;
    return new EngineSlot(
      {
        device: device || 'finwait0',
        deviceExact: device !== '',
        mtu,
        ...(prefixV4 === '' ? {} : { prefixV4 }),
        ...(prefixV6 === '' ? {} : { prefixV6 }),
        allowForwarding,
        footprint,
        // Conntrack is to see the end of the connections, too, that are closed after the engine is.
        tableUntilExit: true,
        stateDir,
        ...(probeAllow.length + probeDeny.length === 0
          ? {}
          : { policy: addressPolicy(probeAllow, probeDeny) }),
      },
      {
        startEngine,
        clock: systemClock,
        onReady: ({ device, engineV4, engineV6 }) => {
          this.#log.log('info', 'the TCP engine runs', { device, engineV4, engineV6 });
          this.#replan();
        },
        onResult: (result) => {
          this.#probes.add(result);
          this.#reporter.addResult(result);
        },
      },
    );
  }

  /** Brings the engine's targets in line with the assignment and with what listens. */
  #replan(): void {
    const host = this.#engine?.ready;
    const { probeLocalListeners, skipPorts } = this.#settings;
    const listeners = probeLocalListeners ? this.#tables.latest()?.sockets?.listeners : undefined;
    const probed = listeners?.filter(
      (listener) =>
        listener.local.port !== this.http.port &&
        !skipPorts.includes(listener.local.port) &&
        !this.#stalled.has(listener),
    );
    this.#plan =
      host === undefined || this.#stopping
        ? NO_TARGETS
        : planTargets(this.#assignment, probed ?? [], host, this.#listenerPlan());
    this.#engine?.setTargets(this.#plan.targets);
  }

  #listenerPlan(): ListenerPlan {
    const { probeIntervalMs, probeConnectTimeoutMs, probeCloseTimeoutMs } = this.#settings;
    const { exchangeMs } = DEFAULT_PROBE_LIMITS;
    return {
      intervalMs: probeIntervalMs,
      limits: { connectMs: probeConnectTimeoutMs, exchangeMs, closeMs: probeCloseTimeoutMs },
    };
  }

  #conditions(): Condition[] {
    return [
      ...(this.#death === undefined ? [] : [this.#death]),
      ...this.#reporter.conditions(),
      ...this.#localConditions(),
    ];
  }

  /** What stands on this machine; how delivery fares is the reporter's to tell. */
  #localConditions(): Condition[] {
    const assigned = this.#assignment?.targets.length ?? 0;
    const stalled = this.#stalled.condition();
    return [
      ...this.#spool.conditions,
      ...(this.#tables.latest()?.conditions ?? []),
      ...(this.#engine?.conditions() ?? []),
      ...(stalled === undefined ? [] : [stalled]),
      ...this.#exhausted.conditions(),
      ...(this.#engine === undefined && assigned > 0 ? [probesOff(assigned)] : []),
    ];
  }

  #heartbeatsMs(): Record<string, number> {
    const engineMs = this.#engine?.heartbeatAgeMs();
    return { tables: this.#tables.heartbeatAgeMs(), ...(engineMs === undefined ? {} : { engine: engineMs }) };
  }

  #waitingFor(): string[] {
    if (this.#stopping) return ['the end: the agent is stopping'];
    return [
      ...(this.#tables.latest() === undefined ? ["the first reading of the kernel's tables"] : []),
      ...(this.#engine !== undefined && !this.#engine.settled ? ['the TCP engine'] : []),
    ];
  }

  #health(): AgentHealth {
    const { cut, pushes, droppedReports, droppedResults, spoolFileErrors } = this.#reporter.stats();
    const counters = {
      ...prefixed('report.', { cut, spool_file_errors: spoolFileErrors }),
      ...prefixed('report.pushes.', pushes),
      ...prefixed('report.dropped.', droppedReports),
      ...prefixed('report.results_dropped.', droppedResults),
      ...prefixed('tables.', this.#tables.latest()?.counters ?? {}),
      ...prefixed('engine.', this.#engine?.counters() ?? {}),
    };
    return {
      rssBytes: rssBytes(),
      cpuSeconds: cpuSeconds(),
      loopLagMs: this.#lag.nextWindow(),
      counters: boundCounters(counters),
    };
  }

  #metrics(): string {
    const families = agentFamilies({
      mode: this.#settings.mode,
      sweep: this.#tables.latest(),
      engineReady: this.#engine === undefined ? undefined : this.#engine.ready !== undefined,
      engineCounters: this.#engine?.counters() ?? {},
      plan: this.#plan,
      reporter: this.#reporter.stats(),
      heartbeatsMs: this.#heartbeatsMs(),
      loopLagMs: this.#lag.maxMs,
      conditions: this.#conditions(),
    });
    return promText([...families, ...this.#probes.families()]);
  }
}

function prefixed(prefix: string, counters: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(counters).map(([name, value]) => [prefix + name, value]));
}

function probesOff(targets: number): Condition {
  return {
    code: 'PROBES_OFF',
    message: `the operator asks for probes of ${targets} targets, but this agent only observes`,
    hint: 'run the agent with --mode probe (chart: agent.mode), or take the targets away from the operator',
  };
}
