/** The operator's settings, and the targets they ask to be probed. */

import { hostname } from 'node:os';
import type { HostPort } from '#base/host-port.ts';
import { hostPortText, listenAddress, parseHostPort } from '#base/host-port.ts';
import { LOG_FORMAT, LOG_LEVEL } from '#base/log-settings.ts';
import type { Settings } from '#base/settings.ts';
import { durationMs, each, setting, text } from '#base/settings.ts';
import type { ProbeTarget } from '#contract';
import { DEFAULT_PROBE_LIMITS } from '#contract';
import { CLUSTER_SETTINGS } from './cluster-settings.ts';

const MINUTE_MS = 60_000;

export const OPERATOR_SETTINGS = {
  ingestListen: setting<HostPort>({
    name: 'ingest-listen',
    env: 'FINWAIT_INGEST_LISTEN',
    placeholder: 'HOST:PORT',
    doc: 'where agents push their reports, over TLS; port 0 takes any free port',
    default: { host: '127.0.0.1', port: 7461 },
    defaultText: '127.0.0.1:7461',
    parse: listenAddress,
  }),
  webListen: setting<HostPort>({
    name: 'web-listen',
    env: 'FINWAIT_WEB_LISTEN',
    placeholder: 'HOST:PORT',
    doc: 'where the JSON API, health and metrics are served; port 0 takes any free port',
    default: { host: '127.0.0.1', port: 7460 },
    defaultText: '127.0.0.1:7460',
    parse: listenAddress,
  }),
  tlsDir: setting<string>({
    name: 'tls-dir',
    env: 'FINWAIT_TLS_DIR',
    placeholder: 'DIR',
    doc: 'where the operator keeps the CA and the server certificate it makes, and agents find ca.crt; see --tls-mode',
    default: '/var/lib/finwait/tls',
    parse: text,
  }),
  tlsNames: setting<readonly string[]>({
    name: 'tls-name',
    env: 'FINWAIT_TLS_NAMES',
    placeholder: 'NAME',
    kind: 'list',
    doc: 'another name or address the server certificate is for, beside localhost, 127.0.0.1 and ::1',
    default: [],
    parse: each(text),
  }),
  agentTokenFile: setting<string>({
    name: 'agent-token-file',
    env: 'FINWAIT_AGENT_TOKEN_FILE',
    placeholder: 'FILE',
    doc: 'file with the token by which the agent of --node-name is known; required, but not with --kubernetes',
    default: '',
    parse: text,
  }),
  nodeName: setting<string>({
    name: 'node-name',
    env: 'FINWAIT_NODE_NAME',
    placeholder: 'NAME',
    doc: 'the node that the token speaks for',
    default: hostname(),
    defaultText: 'the host name',
    parse: text,
  }),
  targets: setting<readonly HostPort[]>({
    name: 'target',
    env: 'FINWAIT_TARGETS',
    placeholder: 'HOST:PORT',
    kind: 'list',
    doc: 'what every agent is to probe; may be given several times',
    default: [],
    parse: each((value) => parseHostPort(value)),
  }),
  targetIntervalMs: setting<number>({
    name: 'target-interval',
    env: 'FINWAIT_TARGET_INTERVAL',
    placeholder: 'DURATION',
    doc: 'time between probes of a target',
    default: 5000,
    defaultText: '5s',
    parse: durationMs(500, 60 * MINUTE_MS),
  }),
  reportIntervalMs: setting<number>({
    name: 'report-interval',
    env: 'FINWAIT_REPORT_INTERVAL',
    placeholder: 'DURATION',
    doc: 'time between the reports of an agent',
    default: 5000,
    defaultText: '5s',
    parse: durationMs(200, 5 * MINUTE_MS),
  }),
  connectTimeoutMs: setting<number>({
    name: 'connect-timeout',
    env: 'FINWAIT_CONNECT_TIMEOUT',
    placeholder: 'DURATION',
    doc: 'how long a probe waits for the handshake',
    default: DEFAULT_PROBE_LIMITS.connectMs,
    defaultText: '10s',
    parse: durationMs(10, 5 * MINUTE_MS),
  }),
  exchangeTimeoutMs: setting<number>({
    name: 'exchange-timeout',
    env: 'FINWAIT_EXCHANGE_TIMEOUT',
    placeholder: 'DURATION',
    doc: 'how long a probe waits for the answer to its request',
    default: DEFAULT_PROBE_LIMITS.exchangeMs,
    defaultText: '10s',
    parse: durationMs(10, 5 * MINUTE_MS),
  }),
  closeTimeoutMs: setting<number>({
    name: 'close-timeout',
    env: 'FINWAIT_CLOSE_TIMEOUT',
    placeholder: 'DURATION',
    doc: "how long a probe waits for the peer's part of the close",
    default: DEFAULT_PROBE_LIMITS.closeMs,
    defaultText: '5s',
    parse: durationMs(10, 5 * MINUTE_MS),
  }),
  ...CLUSTER_SETTINGS,
  logLevel: LOG_LEVEL,
  logFormat: LOG_FORMAT,
};

export type OperatorSettings = Settings<typeof OPERATOR_SETTINGS>;

/** The targets the settings name, as every agent gets them; a target named twice is probed once. */
export function targetsOf(settings: OperatorSettings): ProbeTarget[] {
  const byName = new Map<string, ProbeTarget>();
  for (const { host, port } of settings.targets) {
    const name = hostPortText(host, port);
    byName.set(name, {
      name,
      host,
      port,
      origin: 'user',
      intervalMs: settings.targetIntervalMs,
      limits: {
        connectMs: settings.connectTimeoutMs,
        exchangeMs: settings.exchangeTimeoutMs,
        closeMs: settings.closeTimeoutMs,
      },
    });
  }
  return [...byName.values()];
}
