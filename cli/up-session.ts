/** One run of agent and operator on this machine: started, watched, asked what they know, stopped in order. */

import { fileURLToPath } from 'node:url';
import type { Condition } from '#base/errors.ts';
import { FinwaitError } from '#base/errors.ts';
import type { HostPort } from '#base/host-port.ts';
import type { Overview } from '../operator/fleet/view.ts';
import type { SupervisedChild } from './up-child.ts';
import { superviseChild } from './up-child.ts';
import { conditionInUp, hintInUp } from './up-hints.ts';
import type { LogFile } from './up-log.ts';
import { countOtherNamespaces } from './up-namespaces.ts';
import { markOf, noteChild, requireRunDirectory } from './up-runtime.ts';
import type { UpSettings } from './up-settings.ts';
import { agentArgs, operatorArgs, runFiles } from './up-settings.ts';
import { createOverviewSource } from './up-source.ts';
import type { Trends, ViewModel } from './view-model.ts';
import { extendTrends } from './view-model.ts';

export interface SessionConfig {
  readonly settings: UpSettings;
  readonly targets: readonly HostPort[];
  /** Private directory of this run. */
  readonly directory: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Takes what both log. */
  readonly log: LogFile;
}

export interface Session {
  /** Rejects with a FinwaitError when a child cannot be kept running. */
  readonly failed: Promise<never>;
  /**
   * Asks the operator and joins its answer with what is known here.
   * @throws FinwaitError RUN_DIR_UNUSABLE when the private directory was removed
   */
  look(): Promise<ViewModel>;
  /** Ends agent, then operator, within `graceMs`. */
  stop(graceMs: number): Promise<void>;
  /** Ends both at once. */
  kill(): void;
}

/** Containers come and go, and all processes are looked at for them. */
const COUNT_EVERY_MS = 30_000;

const MAIN = fileURLToPath(new URL('./main.ts', import.meta.url));

export function startSession(config: SessionConfig): Session {
  const { settings, directory, env } = config;
  const files = runFiles(directory);
  const startedAtMs = Date.now();
  const failed = Promise.withResolvers<never>();
  failed.promise.catch(() => {});
  const giveUp = (error: unknown) => {
    if (error instanceof FinwaitError) {
      failed.reject(new FinwaitError(error.code, error.message, hintInUp(error), error.cause));
    } else failed.reject(error);
  };
  const source = createOverviewSource();
  let ports = { web: settings.webPort, ingest: 0 };
  let webUrl: string | undefined;
  let overview: Overview | undefined;
  let trends: Trends = new Map();
  let newestSeriesMs = startedAtMs;
  let unreadNamespaces = 0;
  let countedMs = Number.NEGATIVE_INFINITY;
  let agent: SupervisedChild | undefined;
  let stopped = false;

  const common = (name: string) => ({
    name,
    onLog: (line: string) => config.log.write(name, line),
    onStart(pid: number) {
      const mark = markOf(pid);
      try {
        if (mark !== undefined) noteChild(directory, mark);
      } catch (error) {
        // Nothing more can be started from there, and what runs has lost its token and certificates.
        failed.reject(error);
      }
    },
  });
  const startAgent = () => {
    agent = superviseChild({
      ...common('agent'),
      command: () => [process.execPath, MAIN, ...agentArgs(settings, files, ports)],
      env: withoutTelemetry(env),
      onReady() {},
    });
    agent.givenUp.catch(giveUp);
  };
  const operator = superviseChild({
    ...common('operator'),
    command: () => [process.execPath, MAIN, ...operatorArgs(settings, files, config.targets, ports)],
    env,
    onReady(message) {
      ports = { web: portOf(message.web), ingest: portOf(message.ingest) };
      webUrl = `http://127.0.0.1:${ports.web}/`;
      if (agent === undefined && !stopped) startAgent();
    },
  });
  operator.givenUp.catch(giveUp);

  return {
    failed: failed.promise,
    async look() {
      requireRunDirectory(directory);
      const answer = webUrl === undefined ? undefined : await source.read(webUrl);
      if (answer !== undefined) {
        const extended = extendTrends(trends, answer);
        if ([...extended.keys()].some((key) => !trends.has(key))) newestSeriesMs = Date.now();
        trends = extended;
        overview = inUp(answer);
      }
      if (!settings.allNamespaces && performance.now() - countedMs >= COUNT_EVERY_MS) {
        countedMs = performance.now();
        unreadNamespaces = countOtherNamespaces();
      }
      const conditions: (Condition | undefined)[] = [
        operator.condition(),
        agent?.condition(),
        config.log.condition(),
      ];
      return {
        nowMs: Date.now(),
        startedAtMs,
        ...(webUrl === undefined ? {} : { webUrl }),
        ...(overview === undefined ? {} : { overview }),
        conditions: conditions.filter((each) => each !== undefined),
        trends,
        newestSeriesMs,
        probesListeners: !settings.noListeners,
        unreadNamespaces,
      };
    },
    async stop(graceMs) {
      stopped = true;
      const deadlineMs = Date.now() + graceMs;
      // While the agent has its nftables table, conntrack sees this end.
      source.close();
      // The agent first: its last report still finds the operator.
      await agent?.stop(graceMs * 0.6);
      await operator.stop(deadlineMs - Date.now());
    },
    kill() {
      stopped = true;
      agent?.kill();
      operator.kill();
    },
  };
}

/** The overview with hints that hold for somebody who started `finwait up`. */
function inUp(overview: Overview): Overview {
  const { operator, nodes } = overview;
  return {
    ...overview,
    operator: { ...operator, conditions: operator.conditions.map(conditionInUp) },
    nodes: nodes.map((node) => ({ ...node, conditions: node.conditions.map(conditionInUp) })),
  };
}

/** The agent sends no telemetry, and what the operator sends with (headers may hold a secret) is not for it. */
function withoutTelemetry(env: SessionConfig['env']): SessionConfig['env'] {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith('OTEL_')));
}

/** The port of a listening address as a child tells it: `{ host, port }`. */
function portOf(address: unknown): number {
  return (address as HostPort).port;
}
