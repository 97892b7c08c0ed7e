/** The operator's composition root: settings, parts, signals, shutdown. */

import { setTimeout as sleep } from 'node:timers/promises';
import { FinwaitError } from '#base/errors.ts';
import { hostPortText } from '#base/host-port.ts';
import type { Logger } from '#base/log.ts';
import { createLogger } from '#base/log.ts';
import { openFilesLimit } from '#base/open-files.ts';
import { VERSION } from '#base/version.ts';
import type { ProbeTarget } from '#contract';
import { CONTRACT_LIMITS } from '#contract';
import { alone } from './alone.ts';
import { inCluster } from './cluster.ts';
import type { Fleet } from './fleet/fleet.ts';
import { createFleet } from './fleet/fleet.ts';
import type { Overview } from './fleet/view.ts';
import { connectionBudget } from './http/descriptors.ts';
import type { Listening } from './http/listen.ts';
import { listen } from './http/listen.ts';
import { createIntake } from './ingest/intake.ts';
import { createReceiver } from './ingest/receiver.ts';
import { createIngestServer } from './ingest/server.ts';
import type { OperatorSettings } from './settings.ts';
import { targetsOf } from './settings.ts';
import { stopRequests, tellParent } from './signals.ts';
import type { Surroundings } from './surroundings.ts';
import { createTelemetry } from './telemetry/telemetry.ts';
import { keepRenewed } from './tls/renewal.ts';
import { tlsFromDir, tlsFromFiles } from './tls/source.ts';
import { createApp } from './web/app.ts';
import { createWebServer } from './web/server.ts';

const CLOSE_GRACE_MS = 1000;
const TELEMETRY_GRACE_MS = 1500;
const LAST_WRITES_MS = 3000;
const LAST_WORDS_MS = 250;

/**
 * Runs the operator until SIGTERM, SIGINT or SIGHUP, or until the parent that started it is gone.
 * @returns the exit code
 * @throws FinwaitError when it cannot start: CONFIG_INVALID, TOKEN_UNREADABLE, TLS_DIR_UNUSABLE,
 *   TLS_SECRET_UNUSABLE, TLS_FILES_UNUSABLE, PORT_IN_USE, LISTEN_FAILED
 */
export async function runOperator(settings: OperatorSettings): Promise<number> {
  using stop = stopRequests();
  const log = createLogger('operator', settings.logLevel, settings.logFormat);
  const targets = checkedTargets(settings);
  const fleet = createFleet({
    reportIntervalMs: settings.reportIntervalMs,
    assignmentOf: (node) => around.assignmentOf(node),
  });
  const around = await surroundings(settings, fleet, targets, log);
  // Without an API server this tries for minutes.
  const pair = await Promise.race([around.tls.read(Date.now()), stop.stopped]);
  if (typeof pair === 'string') {
    log.log('info', 'stopping before it was ready', { why: pair });
    exitSoon();
    return 0;
  }

  const startedAtMs = Date.now();
  const telemetry = await createTelemetry({ log, nodes: () => fleet.view(Date.now()) });
  const receive = createReceiver({
    fleet,
    telemetry,
    instance: around.instance,
    reportIntervalMs: settings.reportIntervalMs,
    assignmentOf: around.assignmentOf,
    onReport: around.onReport,
    nowMs: Date.now,
  });
  const leadership = around.leadership === undefined ? {} : { leadership: around.leadership };
  const intake = createIntake({
    authenticate: around.authenticate,
    receive,
    ...leadership,
  });
  const budget = connectionBudget(openFilesLimit());
  const ingest = createIngestServer({ tls: pair, intake, log, connections: budget.ingest });
  using renewal = keepRenewed(ingest.server, pair, around.tls, log);

  let ready = false;
  const overview = (): Overview => ({
    generatedAtMs: Date.now(),
    operator: {
      version: VERSION,
      startedAtMs,
      ...(around.leadership === undefined ? {} : { leadership: around.leadership() }),
      telemetry: telemetry.view(),
      counters: { ...ingest.counters, ...web.counters, nodesEvicted: fleet.evicted, ...around.counters() },
      objects: around.sizes(),
      conditions: [
        ...telemetry.conditions(),
        ...renewal.conditions(),
        ...ingest.connections.conditions(),
        ...web.connections.conditions(),
        ...around.conditions(),
      ],
    },
    nodes: fleet.view(Date.now()),
  });
  const app = createApp({
    overview,
    node: (name) => fleet.nodeView(name, Date.now()),
    ready: () => ready,
    ...leadership,
    port: () => settings.webListen.port,
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
    around.start(atIngest.port);
    log.log('info', 'ready', {
      ingest: `https://${hostPortText(atIngest.address, atIngest.port)}`,
      web: `http://${hostPortText(atWeb.address, atWeb.port)}`,
      targets: targets.length,
    });
    tellParent({
      type: 'ready',
      ingest: { address: atIngest.address, port: atIngest.port },
      web: { address: atWeb.address, port: atWeb.port },
    });
    log.log('info', 'stopping', { why: await stop.stopped });
    return 0;
  } finally {
    ready = false;
    await Promise.all(open.map((server) => server.close(CLOSE_GRACE_MS)));
    // An API server that is away must not hold the end; then the Lease ends by itself.
    const lastWrites = Promise.race([around.stop(), sleep(LAST_WRITES_MS, undefined, { ref: false })]);
    await Promise.all([lastWrites, telemetry.shutdown(TELEMETRY_GRACE_MS)]);
    exitSoon();
  }
}

/** An export or a request that is still in flight would hold the process for the whole of its timeout. */
function exitSoon(): void {
  setTimeout(() => process.exit(), LAST_WORDS_MS).unref();
}

/** What the settings say about where the operator runs. */
async function surroundings(
  settings: OperatorSettings,
  fleet: Fleet,
  targets: readonly ProbeTarget[],
  log: Logger,
): Promise<Surroundings> {
  if (settings.kubernetes) return inCluster(settings, { fleet, targets, log });
  if (settings.tlsMode === 'secret') {
    throw new FinwaitError(
      'CONFIG_INVALID',
      '--tls-mode secret needs a cluster',
      'add --kubernetes, or use --tls-mode dir or files',
    );
  }
  const { tlsDir, tlsNames } = settings;
  const tls = settings.tlsMode === 'files' ? tlsFromFiles(tlsDir) : tlsFromDir(tlsDir, tlsNames, log);
  return alone(settings, tls, targets);
}

function checkedTargets(settings: OperatorSettings): readonly ProbeTarget[] {
  const targets = targetsOf(settings);
  if (targets.length <= CONTRACT_LIMITS.targets) return targets;
  throw new FinwaitError(
    'CONFIG_INVALID',
    `${targets.length} targets are given, a node probes at most ${CONTRACT_LIMITS.targets}`,
    'give fewer targets',
  );
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host.startsWith('127.');
}
