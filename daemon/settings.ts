/** The agent's settings. */

import type { AddressRange } from '#base/address-policy.ts';
import { addressRange } from '#base/address-policy.ts';
import type { HostPort } from '#base/host-port.ts';
import { listenAddress } from '#base/host-port.ts';
import { LOG_FORMAT, LOG_LEVEL } from '#base/log-settings.ts';
import type { Decoded } from '#base/result.ts';
import { decoded, undecodable } from '#base/result.ts';
import type { Settings } from '#base/settings.ts';
import { durationMs, each, flag, integer, oneOf, portNumber, setting, text } from '#base/settings.ts';
import type { AgentIdentity } from '#contract';
import { DEFAULT_PROBE_LIMITS } from '#contract';

const MINUTE_MS = 60_000;
const MEBIBYTE = 2 ** 20;

export const AGENT_SETTINGS = {
  operatorUrl: setting<string>({
    name: 'operator-url',
    env: 'FINWAIT_OPERATOR_URL',
    placeholder: 'URL',
    doc: 'where reports are pushed to',
    default: 'https://127.0.0.1:7461',
    parse: httpsOrigin,
  }),
  tokenFile: setting<string>({
    name: 'token-file',
    env: 'FINWAIT_TOKEN_FILE',
    placeholder: 'FILE',
    doc: 'file with the token the operator knows this node by; read again for each report; required',
    default: '',
    parse: text,
  }),
  caFile: setting<string>({
    name: 'ca-file',
    env: 'FINWAIT_CA_FILE',
    placeholder: 'FILE',
    doc: "file with the certificates that may sign the operator's, PEM; without it those Node trusts",
    default: '',
    parse: text,
  }),
  serverName: setting<string>({
    name: 'server-name',
    env: 'FINWAIT_SERVER_NAME',
    placeholder: 'NAME',
    doc: "name the operator's certificate must be for, when it is not the one in --operator-url",
    default: '',
    parse: text,
  }),
  nodeName: setting<string>({
    name: 'node-name',
    env: 'FINWAIT_NODE_NAME',
    placeholder: 'NAME',
    doc: "the node this agent runs on; the operator refuses the reports when the token is another node's",
    default: '',
    parse: text,
  }),
  mode: setting<AgentIdentity['mode']>({
    name: 'mode',
    env: 'FINWAIT_MODE',
    placeholder: 'MODE',
    doc: 'observe (kernel tables only), probe (and handshakes from a TUN device) or inspect',
    default: 'probe',
    parse: oneOf('observe', 'probe', 'inspect'),
  }),
  requireTun: setting<boolean>({
    name: 'require-tun',
    env: 'FINWAIT_REQUIRE_TUN',
    kind: 'flag',
    doc: 'end when the TUN device cannot be had, instead of going on with the kernel tables alone',
    default: false,
    parse: flag,
  }),
  httpListen: setting<HostPort>({
    name: 'http-listen',
    env: 'FINWAIT_HTTP_LISTEN',
    placeholder: 'HOST:PORT',
    doc: 'where health and metrics are served; port 0 takes any free port',
    default: { host: '127.0.0.1', port: 7463 },
    defaultText: '127.0.0.1:7463',
    parse: listenAddress,
  }),
  reportIntervalMs: setting<number>({
    name: 'report-interval',
    env: 'FINWAIT_REPORT_INTERVAL',
    placeholder: 'DURATION',
    doc: 'time between reports until the operator names another',
    default: 5000,
    defaultText: '5s',
    parse: durationMs(200, 5 * MINUTE_MS),
  }),
  sweepIntervalMs: setting<number>({
    name: 'sweep-interval',
    env: 'FINWAIT_SWEEP_INTERVAL',
    placeholder: 'DURATION',
    doc: 'time between readings of the socket table and of conntrack',
    default: 2000,
    defaultText: '2s',
    parse: durationMs(100, 5 * MINUTE_MS),
  }),
  probeLocalListeners: setting<boolean>({
    name: 'probe-local-listeners',
    env: 'FINWAIT_PROBE_LOCAL_LISTENERS',
    kind: 'flag',
    doc: 'probe what listens on this machine, too',
    default: false,
    parse: flag,
  }),
  probeIntervalMs: setting<number>({
    name: 'probe-interval',
    env: 'FINWAIT_PROBE_INTERVAL',
    placeholder: 'DURATION',
    doc: 'time between probes of a local listener',
    default: 10_000,
    defaultText: '10s',
    parse: durationMs(500, 60 * MINUTE_MS),
  }),
  probeConnectTimeoutMs: setting<number>({
    name: 'probe-connect-timeout',
    env: 'FINWAIT_PROBE_CONNECT_TIMEOUT',
    placeholder: 'DURATION',
    doc: 'how long a probe of a local listener waits for the handshake',
    default: DEFAULT_PROBE_LIMITS.connectMs,
    defaultText: '10s',
    parse: durationMs(10, 5 * MINUTE_MS),
  }),
  probeCloseTimeoutMs: setting<number>({
    name: 'probe-close-timeout',
    env: 'FINWAIT_PROBE_CLOSE_TIMEOUT',
    placeholder: 'DURATION',
    doc: "how long a probe of a local listener waits for the listener's part of the close",
    default: DEFAULT_PROBE_LIMITS.closeMs,
    defaultText: '5s',
    parse: durationMs(10, 5 * MINUTE_MS),
  }),
  skipPorts: setting<readonly number[]>({
    name: 'skip-port',
    env: 'FINWAIT_SKIP_PORTS',
    placeholder: 'PORT',
    kind: 'list',
    doc: "local port not to probe although something listens on it, beside the agent's own; may be given several times",
    default: [],
    parse: each(portNumber),
  }),
  probeAllow: setting<readonly AddressRange[]>({
    name: 'probe-allow',
    env: 'FINWAIT_PROBE_ALLOW',
    placeholder: 'CIDR',
    kind: 'list',
    doc: 'range of addresses that the operator may have probed; with none given all, less those of --probe-deny; may be given several times',
    default: [],
    parse: each(addressRange),
  }),
  probeDeny: setting<readonly AddressRange[]>({
    name: 'probe-deny',
    env: 'FINWAIT_PROBE_DENY',
    placeholder: 'CIDR',
    kind: 'list',
    doc: 'range of addresses that the operator may not have probed; may be given several times',
    default: [],
    parse: each(addressRange),
  }),
  stateDir: setting<string>({
    name: 'state-dir',
    env: 'FINWAIT_STATE_DIR',
    placeholder: 'DIR',
    doc: 'directory that keeps undelivered reports, and what to undo after a crash; without it reports are kept in memory, at most 8 MiB',
    default: '',
    parse: text,
  }),
  spoolBytes: setting<number>({
    name: 'spool-limit',
    env: 'FINWAIT_SPOOL_LIMIT',
    placeholder: 'MIB',
    doc: 'most that undelivered reports may take; beyond it the oldest are dropped and counted. MiB',
    default: 64 * MEBIBYTE,
    defaultText: '64',
    parse: mebibytes(2, 4096),
  }),
  device: setting<string>({
    name: 'device',
    env: 'FINWAIT_DEVICE',
    placeholder: 'NAME',
    doc: 'name of the TUN device; without it finwait0, or the next number that is free',
    default: '',
    parse: deviceName,
  }),
  mtu: setting<number>({
    name: 'mtu',
    env: 'FINWAIT_MTU',
    placeholder: 'BYTES',
    doc: 'MTU of the TUN device; below 1280 it has no IPv6',
    default: 1500,
    parse: integer(68, 65_535),
  }),
  prefixV4: setting<string>({
    name: 'prefix-v4',
    env: 'FINWAIT_PREFIX_V4',
    placeholder: 'CIDR',
    doc: 'IPv4 prefix of the TUN device; without it a free one of 198.18.77.0/24',
    default: '',
    parse: text,
  }),
  prefixV6: setting<string>({
    name: 'prefix-v6',
    env: 'FINWAIT_PREFIX_V6',
    placeholder: 'CIDR',
    doc: 'IPv6 prefix of the TUN device; without it a free one of fd66:696e:7761::/48',
    default: '',
    parse: text,
  }),
  allowForwarding: setting<boolean>({
    name: 'allow-forwarding',
    env: 'FINWAIT_ALLOW_FORWARDING',
    kind: 'flag',
    doc: 'allow finwait to switch packet forwarding on, so that other machines can be probed',
    default: false,
    parse: flag,
  }),
  footprint: setting<boolean>({
    name: 'footprint',
    env: 'FINWAIT_FOOTPRINT',
    kind: 'flag',
    doc: "mark finwait's own probes in conntrack, so that they can be told from other flows",
    default: false,
    parse: flag,
  }),
  logLevel: LOG_LEVEL,
  logFormat: LOG_FORMAT,
};

export type AgentSettings = Settings<typeof AGENT_SETTINGS>;

/** `https://HOST[:PORT]` with nothing behind it but a slash; the answer has no slash at its end. */
function httpsOrigin(value: string): Decoded<string> {
  const url = URL.parse(value);
  if (url === null) return undecodable('is not a URL such as https://operator:7461');
  if (url.protocol !== 'https:') return undecodable('does not begin with https://');
  if (url.username !== '' || url.password !== '') return undecodable('holds a user name or password');
  if (url.pathname !== '/' || url.search !== '' || url.hash !== '')
    return undecodable('has a path, query or fragment');
  return decoded(url.origin);
}

/** A name the kernel takes for a network device: linux/if.h IFNAMSIZ, net/core/dev.c dev_valid_name. */
function deviceName(value: string): Decoded<string> {
  return /^[\w.-]{1,15}$/.test(value) && value !== '.' && value !== '..'
    ? decoded(value)
    : undecodable('is not a device name: 1 to 15 letters, digits, dots, dashes and underscores');
}

function mebibytes(min: number, max: number): (value: string) => Decoded<number> {
  const whole = integer(min, max);
  return (value) => {
    const parsed = whole(value);
    return parsed.ok ? decoded(parsed.value * MEBIBYTE) : parsed;
  };
}
