/**
 * Turns untrusted JSON into the types of the contract. Every string, list and number is bounded, unknown
 * versions are refused, unknown fields are ignored, and nothing here throws.
 */

import { isIP } from 'node:net';
import type { Condition, ErrorCode } from '#base/errors.ts';
import type { Decoded } from '#base/result.ts';
import { undecodable } from '#base/result.ts';
import type { Shape } from '#base/shape.ts';
import {
  among,
  boolean,
  integerIn,
  list,
  map,
  nullable,
  numberIn,
  object,
  optional,
  parseShape,
  text,
} from '#base/shape.ts';
import type {
  Acknowledgement,
  AgentHealth,
  AgentIdentity,
  Assignment,
  ConntrackSummary,
  Endpoint,
  Family,
  Holder,
  Listener,
  Phase,
  PodRef,
  PodSockets,
  ProbeLimits,
  ProbeResult,
  ProbeTarget,
  ProcessRef,
  Report,
  SegmentRecord,
  SocketSummary,
  StateTurnover,
  Steps,
  SynOptions,
  UnreadData,
} from '#contract';
import { CONTRACT_LIMITS, CONTRACT_VERSION, TCP_FLAGS, TCP_STATES, VERDICTS } from '#contract';
import { conntrackActivity } from './contract-parse-conntrack.ts';
import { NAMESPACE_SHAPES, netnsInode, podUid } from './contract-parse-namespaces.ts';
import { pressureShapes } from './contract-parse-pressure.ts';

const LIMITS = CONTRACT_LIMITS;
const DAY_MS = 86_400_000;
const DAY_US = DAY_MS * 1000;

const words = text(LIMITS.text);
const name = text(253, /./, 'is empty');
const targetName = text(LIMITS.text, /./, 'is empty');
const port = integerIn(0, 65_535);
const targetPort = integerIn(1, 65_535);
const uint32 = integerIn(0, 0xffff_ffff);
/** Sums of the kernel's counts, which have 32 bits, stay exact. */
const count = uint32;
/** Unix time as far as a Date reaches. */
const unixMs = numberIn(0, 8.64e15);
const unixUs = numberIn(0, Number.MAX_SAFE_INTEGER);
const durationMs = numberIn(0, Number.MAX_SAFE_INTEGER);
const durationUs = numberIn(0, DAY_US);
const offsetUs = numberIn(-DAY_US, DAY_US);
const family: Shape<Family> = among(4, 6);
const uuid = text(36, /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i, 'is not a UUID');
/** All zeros is no trace id (W3C Trace Context, 3.2.2.3). */
const traceId = text(32, /^(?!0{32})[0-9a-f]{32}$/, 'is not 32 hexadecimal digits');

const address: Shape<string> = (value, trail) =>
  typeof value === 'string' && value.length <= 64 && isIP(value) !== 0
    ? value
    : trail.fault('is not an IP address');

const endpoint = object<Endpoint>({ address, port });
const processRef = object<ProcessRef>({ pid: integerIn(0, 0x7fff_ffff), name: words });

/** Only the form is checked: in the middle of an upgrade the other side may know a code that this one does not. */
const errorCode = text(64, /^[A-Z][A-Z0-9_]+$/, 'is not an error code') as Shape<ErrorCode>;

const condition = object<Condition>({
  code: errorCode,
  message: words,
  hint: words,
});

const identity = object<AgentIdentity>({
  version: text(64),
  hostname: words,
  node: optional(name),
  kernel: words,
  mode: among('observe', 'probe', 'inspect'),
});

const heldState = among('TIME-WAIT', 'CLOSE-WAIT');

const pod = object<PodRef>({ uid: podUid, containerId: optional(text(128, /./, 'is empty')) });

const holder = object<Holder>({
  state: heldState,
  direction: among('inbound', 'outbound'),
  process: nullable(processRef),
  attribution: among('socket', 'last-owner', 'listener', 'unknown'),
  pod: optional(pod),
  peer: address,
  port,
  podBy: optional(among('cgroup', 'process', 'namespace')),
  netns: optional(netnsInode),
  count,
  oldestMs: durationMs,
  unread: optional(
    object<UnreadData>({
      bytes: numberIn(0, Number.MAX_SAFE_INTEGER),
      growing: count,
      shrinking: count,
      seenBefore: count,
      sending: count,
      lastReceivedMs: optional(durationMs),
    }),
  ),
});

const listener = object<Listener>({
  local: endpoint,
  family,
  process: nullable(processRef),
  acceptQueue: uint32,
  backlog: uint32,
});

const pressure = pressureShapes({ address, endpoint, pod, netns: netnsInode });

const sockets = object<SocketSummary>({
  states: list(object({ family, state: among(...TCP_STATES), count }), 2 * TCP_STATES.length),
  holders: list(holder, LIMITS.holders),
  folded: list(object({ state: among(...TCP_STATES), groups: count, sockets: count }), TCP_STATES.length),
  listeners: list(listener, LIMITS.listeners),
  listenersFolded: count,
  pods: optional(
    list(
      object<PodSockets>({
        uid: podUid,
        states: list(object({ state: among(...TCP_STATES), count }), TCP_STATES.length),
      }),
      LIMITS.pods,
    ),
  ),
  podsFolded: optional(count),
  turnover: optional(
    list(
      object<StateTurnover>({
        state: heldState,
        enteredPerSecond: numberIn(0, 0xffff_ffff),
        leftPerSecond: numberIn(0, 0xffff_ffff),
      }),
      2,
    ),
  ),
  ...NAMESPACE_SHAPES,
  ports: optional(pressure.ports),
});

const conntrack = object<ConntrackSummary>({
  status: among('on', 'idle'),
  count,
  max: count,
  states: list(
    object<ConntrackSummary['states'][number]>({ state: text(32), count, oldestMs: optional(durationMs) }),
    LIMITS.conntrackStates,
  ),
  own: count,
  activity: optional(conntrackActivity(address)),
  sourceNat: optional(pressure.sourceNat),
  divergence: optional(pressure.divergence),
});

const health = object<AgentHealth>({
  rssBytes: integerIn(0, Number.MAX_SAFE_INTEGER),
  cpuSeconds: numberIn(0, Number.MAX_SAFE_INTEGER),
  loopLagMs: durationMs,
  counters: map(numberIn(0, Number.MAX_SAFE_INTEGER), LIMITS.counters, 128),
});

const phase = object<Phase>({
  name: among('resolve', 'handshake', 'exchange', 'close'),
  fromUs: offsetUs,
  toUs: offsetUs,
  ok: boolean,
});

const steps = object<Steps>({
  synSentUs: optional(offsetUs),
  synAckReceivedUs: optional(offsetUs),
  ackSentUs: optional(offsetUs),
  requestSentUs: optional(offsetUs),
  requestAckedUs: optional(offsetUs),
  firstByteUs: optional(offsetUs),
  finSentUs: optional(offsetUs),
  finAckedUs: optional(offsetUs),
  finReceivedUs: optional(offsetUs),
  lastAckSentUs: optional(offsetUs),
});

const segment = object<SegmentRecord>({
  atUs: offsetUs,
  direction: among('out', 'in'),
  kind: among('tcp', 'icmp'),
  flags: list(among(...TCP_FLAGS), TCP_FLAGS.length),
  seq: uint32,
  ack: optional(uint32),
  length: integerIn(0, 65_535),
  window: integerIn(0, 0xffff << 14),
  retransmission: boolean,
  from: optional(words),
  note: optional(words),
});

const synOptions = object<SynOptions>({
  mss: optional(port),
  windowScale: optional(integerIn(0, 255)),
  sackPermitted: boolean,
  timestamps: boolean,
});

const origin = among('user', 'listener');

const probe = object<ProbeResult>({
  id: traceId,
  target: object<ProbeResult['target']>({
    name: targetName,
    host: name,
    port: targetPort,
    origin,
    ref: optional(words),
    once: optional(words),
  }),
  family,
  local: endpoint,
  remote: endpoint,
  startUs: unixUs,
  verdict: among(...VERDICTS),
  sentence: words,
  phases: list(phase, 8),
  steps,
  segments: list(segment, LIMITS.segments),
  segmentsFolded: count,
  options: object({ offered: synOptions, accepted: nullable(synOptions) }),
  retransmits: object({ syn: uint32, data: uint32, fin: uint32 }),
  rttUs: optional(durationUs),
  handshakeNetUs: optional(durationUs),
  hops: optional(integerIn(0, 255)),
  tainted: optional(words),
});

const seq = integerIn(1, Number.MAX_SAFE_INTEGER);
const version = among(CONTRACT_VERSION);

const report = object<Report>({
  version,
  boot: uuid,
  seq,
  agent: identity,
  fromMs: unixMs,
  toMs: unixMs,
  sockets: optional(sockets),
  conntrack: optional(conntrack),
  probes: list(probe, LIMITS.probes),
  health,
  conditions: list(condition, LIMITS.conditions),
});

const limitMs = numberIn(1, DAY_MS);

const target = object<ProbeTarget>({
  name: targetName,
  host: name,
  port: targetPort,
  origin,
  intervalMs: numberIn(100, DAY_MS),
  limits: object<ProbeLimits>({ connectMs: limitMs, exchangeMs: limitMs, closeMs: limitMs }),
  ref: optional(words),
  once: optional(words),
  send: optional(words),
});

const acknowledgement = object<Acknowledgement>({
  version,
  boot: uuid,
  instance: uuid,
  seq: integerIn(0, Number.MAX_SAFE_INTEGER),
  assignment: optional(
    object<Assignment>({
      targets: list(target, LIMITS.targets),
      reportIntervalMs: numberIn(100, DAY_MS),
    }),
  ),
});

/** A report as an agent sent it. The reason for refusing names the paths of the first faults. */
export function parseReport(value: unknown): Decoded<Report> {
  return parseVersioned(report, value);
}

/** An acknowledgement as an operator sent it. */
export function parseAcknowledgement(value: unknown): Decoded<Acknowledgement> {
  return parseVersioned(acknowledgement, value);
}

/** Looks at the version alone first: of another version no other fault would mean anything. */
function parseVersioned<T>(shape: Shape<T>, value: unknown): Decoded<T> {
  if (typeof value === 'object' && value !== null && 'version' in value) {
    const { version: given } = value;
    if (typeof given === 'number' && given !== CONTRACT_VERSION) {
      return undecodable(`version ${given} is not known; this side speaks version ${CONTRACT_VERSION}`);
    }
  }
  return parseShape(shape, value);
}
