/** The settings of `finwait up`, and the command lines of the two programs it runs. */

import { join } from 'node:path';
import type { HostPort } from '#base/host-port.ts';
import { hostPortText } from '#base/host-port.ts';
import { LOG_LEVEL } from '#base/log-settings.ts';
import type { Settings } from '#base/settings.ts';
import { durationMs, each, flag, portNumber, setting, text } from '#base/settings.ts';
import { DEFAULT_PROBE_LIMITS } from '#contract';

export const UP_SETTINGS = {
  webPort: setting<number>({
    name: 'web-port',
    env: 'FINWAIT_WEB_PORT',
    placeholder: 'PORT',
    doc: 'port of the JSON page on 127.0.0.1; 0 takes any free one',
    default: 7460,
    parse: portNumber,
  }),
  targetIntervalMs: setting<number>({
    name: 'interval',
    placeholder: 'DURATION',
    doc: 'time between two probes of a target given as an argument',
    default: 5000,
    defaultText: '5s',
    parse: durationMs(500, 3_600_000),
  }),
  listenerIntervalMs: setting<number>({
    name: 'listener-interval',
    placeholder: 'DURATION',
    doc: 'time between two probes of a port that listens on this machine',
    default: 10_000,
    defaultText: '10s',
    parse: durationMs(500, 3_600_000),
  }),
  noListeners: setting<boolean>({
    name: 'no-listeners',
    kind: 'flag',
    doc: 'probe only the targets given, not what listens on this machine',
    default: false,
    parse: flag,
  }),
  skipPorts: setting<readonly number[]>({
    name: 'skip-port',
    placeholder: 'PORT',
    kind: 'list',
    doc: "port of this machine not to probe, beside finwait's own; may be given several times",
    default: [],
    parse: each(portNumber),
  }),
  observe: setting<boolean>({
    name: 'observe',
    kind: 'flag',
    doc: "only read the kernel's tables: no TUN device, no probes",
    default: false,
    parse: flag,
  }),
  allNamespaces: setting<boolean>({
    name: 'all-namespaces',
    short: 'A',
    kind: 'flag',
    doc: 'read the sockets of all network namespaces of this machine, such as those of containers and pods (as root)',
    default: false,
    parse: flag,
  }),
  connectTimeoutMs: setting<number>({
    name: 'connect-timeout',
    placeholder: 'DURATION',
    doc: 'how long a probe waits for the handshake',
    default: DEFAULT_PROBE_LIMITS.connectMs,
    defaultText: '10s',
    parse: durationMs(10, 300_000),
  }),
  closeTimeoutMs: setting<number>({
    name: 'close-timeout',
    placeholder: 'DURATION',
    doc: "how long a probe waits for the peer's part of the close",
    default: DEFAULT_PROBE_LIMITS.closeMs,
    defaultText: '5s',
    parse: durationMs(10, 300_000),
  }),
  allowForwarding: setting<boolean>({
    name: 'allow-forwarding',
    kind: 'flag',
    doc: 'let finwait turn on IP forwarding while it runs, to probe targets on other machines',
    default: false,
    parse: flag,
  }),
  noFootprint: setting<boolean>({
    name: 'no-footprint',
    kind: 'flag',
    doc: "make no nftables table: finwait's own flows are then not marked in conntrack",
    default: false,
    parse: flag,
  }),
  once: setting<boolean>({
    name: 'once',
    kind: 'flag',
    doc: 'print one full report after the first probes ended, and end',
    default: false,
    parse: flag,
  }),
  json: setting<boolean>({
    name: 'json',
    kind: 'flag',
    doc: 'print what is known as JSON, one object a line each refresh (with --once: one)',
    default: false,
    parse: flag,
  }),
  plain: setting<boolean>({
    name: 'plain',
    kind: 'flag',
    doc: 'print plain lines on a terminal too, as in a pipe',
    default: false,
    parse: flag,
  }),
  refreshMs: setting<number>({
    name: 'refresh',
    placeholder: 'DURATION',
    doc: 'time between two looks at the tables',
    default: 1000,
    defaultText: '1s',
    parse: durationMs(500, 60_000),
  }),
  statusIntervalMs: setting<number>({
    name: 'status-interval',
    placeholder: 'DURATION',
    doc: 'in a pipe: time between two status lines when nothing changes',
    default: 10_000,
    defaultText: '10s',
    parse: durationMs(1000, 3_600_000),
  }),
  logFile: setting<string>({
    name: 'log-file',
    placeholder: 'FILE',
    doc: 'append what agent and operator log to this file',
    default: '',
    parse: text,
  }),
  logLevel: LOG_LEVEL,
};

export type UpSettings = Settings<typeof UP_SETTINGS>;

/** Where the files of one run lie. */
export interface RunFiles {
  readonly tlsDir: string;
  readonly tokenFile: string;
}

export function runFiles(directory: string): RunFiles {
  return {
    tlsDir: join(directory, 'tls'),
    tokenFile: join(directory, 'agent-token'),
  };
}

/** Ports of 127.0.0.1 that the operator listens on. */
export interface Ports {
  readonly web: number;
  readonly ingest: number;
}

/**
 * The arguments of `finwait operator`.
 * @param ports those of its first start, so that a restart listens where the agent and the page expect it
 */
export function operatorArgs(
  settings: UpSettings,
  files: RunFiles,
  targets: readonly HostPort[],
  ports: Ports,
): string[] {
  return [
    'operator',
    ...['--ingest-listen', `127.0.0.1:${ports.ingest}`],
    ...['--web-listen', `127.0.0.1:${ports.web}`],
    ...['--tls-dir', files.tlsDir],
    ...['--agent-token-file', files.tokenFile],
    ...targets.flatMap(({ host, port }) => ['--target', hostPortText(host, port)]),
    ...['--target-interval', `${settings.targetIntervalMs}ms`],
    ...['--report-interval', `${settings.refreshMs}ms`],
    ...['--connect-timeout', `${settings.connectTimeoutMs}ms`],
    ...['--close-timeout', `${settings.closeTimeoutMs}ms`],
    ...['--log-level', settings.logLevel],
    ...['--log-format', 'text'],
  ];
}

/** The arguments of `finwait agent`. */
export function agentArgs(settings: UpSettings, files: RunFiles, ports: Ports): string[] {
  return [
    'agent',
    ...['--operator-url', `https://127.0.0.1:${ports.ingest}`],
    ...['--ca-file', join(files.tlsDir, 'ca.crt')],
    ...['--token-file', files.tokenFile],
    ...['--http-listen', '127.0.0.1:0'],
    ...['--mode', settings.observe ? 'observe' : settings.allNamespaces ? 'inspect' : 'probe'],
    ...['--report-interval', `${settings.refreshMs}ms`],
    ...['--sweep-interval', `${settings.refreshMs}ms`],
    ...['--probe-interval', `${settings.listenerIntervalMs}ms`],
    ...['--probe-connect-timeout', `${settings.connectTimeoutMs}ms`],
    ...['--probe-close-timeout', `${settings.closeTimeoutMs}ms`],
    ...(settings.noListeners ? [] : ['--probe-local-listeners']),
    ...[ports.web, ports.ingest, ...settings.skipPorts].flatMap((port) => ['--skip-port', String(port)]),
    ...(settings.allowForwarding ? ['--allow-forwarding'] : []),
    ...(settings.noFootprint ? [] : ['--footprint']),
    ...['--log-level', settings.logLevel],
    ...['--log-format', 'text'],
  ];
}
