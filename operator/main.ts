/** The operator's composition root: settings, parts, signals, shutdown. */

import { randomUUID } from 'node:crypto';
import { FinwaitError } from '#base/errors.ts';
import { hostPortText } from '#base/host-port.ts';
import { createLogger } from '#base/log.ts';
import { VERSION } from '#base/version.ts';
import type { ProbeTarget } from '#contract';
import { CONTRACT_LIMITS } from '#contract';
import { createFleet } from './fleet/fleet.ts';
import type { Overview } from './fleet/view.ts';
import { connectionBudget, descriptorLimit } from './http/descriptors.ts';
import type { Listening } from './http/listen.ts';
import { listen } from './http/listen.ts';
import { readTokenFile, staticAuthenticator } from './ingest/authenticator.ts';
import { createIntake } from './ingest/intake.ts';
import { createReceiver } from './ingest/receiver.ts';
import { createIngestServer } from './ingest/server.ts';
import type { OperatorSettings } from './settings.ts';
import { targetsOf } from './settings.ts';
import { createTelemetry } from './telemetry/telemetry.ts';
import { ensureTlsIdentity } from './tls/identity.ts';
import { keepRenewed } from './tls/renewal.ts';
import { createApp } from './web/app.ts';
import { createWebServer } from './web/server.ts';

const CLOSE_GRACE_MS = 1000;
const TELEMETRY_GRACE_MS = 2000;
const LAST_WORDS_MS = 250;

/**
 * Runs the operator until SIGTERM, SIGINT or SIGHUP, or until the parent that started it is gone.
 * @returns the exit code
 * @throws FinwaitError when it cannot start: CONFIG_INVALID, TOKEN_UNREADABLE, TLS_DIR_UNUSABLE, PORT_IN_USE, LISTEN_FAILED
 */
export async function runOperator(settings: OperatorSettings): Promise<number> {
  using stop = stopRequests();
  const log = createLogger('operator', settings.logLevel, settings.logFormat);
  const targets = checkedTargets(settings);
  const token = await readTokenFile(requiredTokenFile(settings));
  const identity = await ensureTlsIdentity(settings.tlsDir, settings.tlsNames, Date.now());
  if (identity.made.length > 0) log.log('info', 'made TLS certificates', { made: identity.made.join(' ') });

  const startedAtMs = Date.now();
  const assignmentOf = (): readonly ProbeTarget[] => targets;
  const fleet = createFleet({ reportIntervalMs: settings.reportIntervalMs, assignmentOf });
  const telemetry = await createTelemetry({ log, nodes: () => fleet.view(Date.now()) });
  const receive = createReceiver({
    fleet,
    telemetry,
    instance: randomUUID(),
    reportIntervalMs: settings.reportIntervalMs,
    assignmentOf,
    nowMs: Date.now,
  });
  const intake = createIntake({ authenticate: staticAuthenticator(token, settings.nodeName), receive });
  const budget = connectionBudget(descriptorLimit());
  const ingest = createIngestServer({ tls: identity, intake, log, connections: budget.ingest });
  using renewal = keepRenewed(ingest.server, identity, settings.tlsNames, log);

  let ready = false;
  const overview = (): Overview => ({
    generatedAtMs: Date.now(),
    operator: {
      version: VERSION,
      startedAtMs,
      telemetry: telemetry.view(),
      counters: { ...ingest.counters, ...web.counters, nodesEvicted: fleet.evicted },
      conditions: [
        ...telemetry.conditions(),
        ...renewal.conditions(),
        ...ingest.connections.conditions(),
        ...web.connections.conditions(),
      ],
    },
    nodes: fleet.view(Date.now()),
  });
  const app = createApp({
    overview,
    node: (name) => fleet.nodeView(name, Date.now()),
    ready: () => ready,
    loopbackOnly: isLoopback(settings.webListen.host),
    log,
  });
  const web = createWebServer(app, budget.web);

  const open: Listening[] = [];
  try {
    const atIngest = await listen(ingest, settings.ingestListen, 'ingest-listen');
    open.push(atIngest);
    const atWeb = await listen(web, settings.webListen, 'web-listen');
    open.push(atWeb);
    ready = true;
    log.log('info', 'ready', {
      ingest: `https://${hostPortText(atIngest.address, atIngest.port)}`,
      web: `http://${hostPortText(atWeb.address, atWeb.port)}`,
      targets: targets.length,
    });
    tellParent({
      type: 'ready',
      ingest: { address: atIngest.address, port: atIngest.port },
      web: { address: atWeb.address, port: atWeb.port },
      caFile: identity.caFile,
    });
    log.log('info', 'stopping', { why: await stop.stopped });
    return 0;
  } finally {
    ready = false;
    await Promise.all(open.map((server) => server.close(CLOSE_GRACE_MS)));
    await telemetry.shutdown(TELEMETRY_GRACE_MS);
    // An export that is still in flight would hold the process for the whole of its timeout.
    setTimeout(() => process.exit(), LAST_WORDS_MS).unref();
  }
}

function tellParent(message: Readonly<Record<string, unknown>>): void {
  if (process.connected) process.send?.(message);
}

/** Listens for what ends the operator until disposed. */
function stopRequests(): Disposable & { readonly stopped: Promise<string> } {
  const { promise: stopped, resolve } = Promise.withResolvers<string>();
  const hasParent = process.send !== undefined;
  const onSigterm = (): void => resolve('SIGTERM');
  // Ctrl-C and a hang-up reach a whole terminal at once; a parent ends us when the agent has sent its last report.
  const onTerminal = (signal: NodeJS.Signals): void => (hasParent ? undefined : resolve(signal));
  const onDisconnect = (): void => resolve('the parent is gone');
  process.on('SIGTERM', onSigterm).on('SIGINT', onTerminal).on('SIGHUP', onTerminal);
  if (hasParent) process.on('disconnect', onDisconnect);
  return {
    stopped,
    [Symbol.dispose]() {
      process.off('SIGTERM', onSigterm).off('SIGINT', onTerminal).off('SIGHUP', onTerminal);
      process.off('disconnect', onDisconnect);
    },
  };
}

function checkedTargets(settings: OperatorSettings): readonly ProbeTarget[] {
  const targets = targetsOf(settings);
  if (targets.length <= CONTRACT_LIMITS.targets) return targets;
  throw new FinwaitError(
    'CONFIG_INVALID',
    `${targets.length} targets are given, a node probes at most ${CONTRACT_LIMITS.targets}`,
    'give fewer with --target',
  );
}

function requiredTokenFile(settings: OperatorSettings): string {
  if (settings.agentTokenFile !== '') return settings.agentTokenFile;
  throw new FinwaitError(
    'CONFIG_INVALID',
    'no token is given by which an agent would be known',
    'give --agent-token-file a file that holds one secret of at least 16 characters',
  );
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host.startsWith('127.');
}
