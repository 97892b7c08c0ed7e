/** A probe's result as one trace: the root span, a child for each phase, an event for each segment. */

import type { Attributes, HrTime, Span, Tracer } from '@opentelemetry/api';
import { ROOT_CONTEXT, SpanKind, SpanStatusCode, TraceFlags, trace } from '@opentelemetry/api';
import type { Phase, ProbeResult, SegmentRecord, SynOptions, TcpFlagName } from '#contract';
import { probeRefOf } from '../probe-ref.ts';
import {
  ATTR,
  ERROR_TYPE_OF_VERDICT,
  EVENT_ICMP_ERROR,
  EVENT_SEGMENT,
  SPAN_OF_PHASE,
  SPAN_PROBE,
} from './semconv.ts';

/**
 * Makes and ends the spans of one probe, at the times the probe measured.
 * @returns whether they were recorded; not so when the sampler left the trace out
 */
export function traceProbe(tracer: Tracer, result: ProbeResult, nodeName: string): boolean {
  const at = (offsetUs: number): HrTime => hrTime(result.startUs + offsetUs);
  const errorType = errorTypeOf(result);
  const fromUs = Math.min(0, ...result.phases.map((phase) => phase.fromUs));
  const toUs = Math.max(0, ...result.phases.map((phase) => phase.toUs));

  // CLIENT, not INTERNAL as .NET's `socket connect` is: no other span stands for the connection here, and
  // service maps draw an edge to `server.address` from client spans alone.
  const root = tracer.startSpan(
    SPAN_PROBE,
    { kind: SpanKind.CLIENT, startTime: at(fromUs), attributes: probeAttributes(result, nodeName) },
    ROOT_CONTEXT,
  );
  const parent = trace.setSpan(ROOT_CONTEXT, root);
  const spans = new Map<Phase, Span>();
  for (const phase of result.phases) {
    const options = { kind: SpanKind.INTERNAL, startTime: at(phase.fromUs) };
    spans.set(phase, tracer.startSpan(SPAN_OF_PHASE[phase.name], options, parent));
  }
  for (const segment of result.segments) {
    const phase = phaseOf(segment, result.phases);
    const span = (phase && spans.get(phase)) ?? root;
    const name = segment.kind === 'icmp' ? EVENT_ICMP_ERROR : EVENT_SEGMENT;
    span.addEvent(name, segmentAttributes(segment), at(segment.atUs));
  }
  for (const [phase, span] of spans) {
    if (!phase.ok) fail(span, errorType ?? 'unknown');
    span.end(at(phase.toUs));
  }
  if (errorType !== undefined) fail(root, errorType, result.sentence);
  root.end(at(toUs));
  return (root.spanContext().traceFlags & TraceFlags.SAMPLED) !== 0;
}

function fail(span: Span, errorType: string, message?: string): void {
  span.setAttribute(ATTR.errorType, errorType);
  span.setStatus({ code: SpanStatusCode.ERROR, ...(message === undefined ? {} : { message }) });
}

/** `error.type` of a result; undefined when the target was open. */
export function errorTypeOf(result: ProbeResult): string | undefined {
  if (result.verdict === 'rejected') {
    const note = result.segments.find(({ kind }) => kind === 'icmp')?.note ?? '';
    if (/prohibited/.test(note)) return 'access_denied';
    if (/net(work)? unreachable/.test(note)) return 'network_unreachable';
    if (/port unreachable/.test(note)) return 'connection_refused';
  }
  return ERROR_TYPE_OF_VERDICT[result.verdict];
}

/**
 * The phase a segment was sent or received in; after the last phase it is the last. Where one phase ends as the
 * next begins, data or a FIN of ours begins the next, and all else ends the one before.
 */
function phaseOf(segment: SegmentRecord, phases: readonly Phase[]): Phase | undefined {
  const onTheWire = phases.filter(({ name }) => name !== 'resolve');
  const begins = segment.direction === 'out' && (segment.length > 0 || segment.flags.includes('FIN'));
  const current = begins
    ? onTheWire.findLast(({ fromUs }) => fromUs <= segment.atUs)
    : onTheWire.find(({ toUs }) => segment.atUs <= toUs);
  return current ?? onTheWire.at(-1);
}

function probeAttributes(result: ProbeResult, nodeName: string): Attributes {
  const { target, local, remote, retransmits, options, segments, segmentsFolded } = result;
  const probe = probeRefOf(target);
  return {
    [ATTR.node]: nodeName,
    ...(probe === undefined
      ? {}
      : {
          [ATTR.namespaceName]: probe.namespace,
          [ATTR.probeName]: probe.name,
          [ATTR.nodeName]: nodeName,
        }),
    [ATTR.target]: target.name,
    [ATTR.targetOrigin]: target.origin,
    [ATTR.verdict]: result.verdict,
    [ATTR.sentence]: result.sentence,
    [ATTR.serverAddress]: target.host,
    [ATTR.serverPort]: target.port,
    [ATTR.transport]: 'tcp',
    [ATTR.networkType]: `ipv${result.family}`,
    [ATTR.localAddress]: local.address,
    [ATTR.localPort]: local.port,
    [ATTR.peerAddress]: remote.address,
    [ATTR.peerPort]: remote.port,
    [ATTR.retransmitsSyn]: retransmits.syn,
    [ATTR.retransmitsData]: retransmits.data,
    [ATTR.retransmitsFin]: retransmits.fin,
    ...(segments.length > 0 ? { [ATTR.optionsOffered]: optionsText(options.offered) } : {}),
    ...(options.accepted === null ? {} : { [ATTR.optionsAccepted]: optionsText(options.accepted) }),
    ...(segmentsFolded === 0 ? {} : { [ATTR.segmentsFolded]: segmentsFolded }),
    ...(result.rttUs === undefined ? {} : { [ATTR.rttUs]: result.rttUs }),
    ...(result.handshakeNetUs === undefined ? {} : { [ATTR.handshakeNetUs]: result.handshakeNetUs }),
    ...(result.hops === undefined ? {} : { [ATTR.hops]: result.hops }),
    ...(result.tainted === undefined ? {} : { [ATTR.tainted]: result.tainted }),
    ...Object.fromEntries(
      Object.entries(result.steps).map(([step, us]) => [`${ATTR.stepPrefix}${snakeCase(step)}`, us]),
    ),
  };
}

function segmentAttributes(segment: SegmentRecord): Attributes {
  const direction = segment.direction === 'out' ? 'transmit' : 'receive';
  if (segment.kind === 'icmp') {
    return {
      [ATTR.ioDirection]: direction,
      ...(segment.note === undefined ? {} : { [ATTR.icmpNote]: segment.note }),
      ...(segment.from === undefined ? {} : { [ATTR.segmentFrom]: segment.from }),
    };
  }
  return {
    [ATTR.ioDirection]: direction,
    [ATTR.segmentFlags]: flagsText(segment.flags),
    [ATTR.segmentSeq]: segment.seq,
    ...(segment.ack === undefined ? {} : { [ATTR.segmentAck]: segment.ack }),
    [ATTR.segmentLength]: segment.length,
    [ATTR.segmentWindow]: segment.window,
    [ATTR.segmentRetransmission]: segment.retransmission,
    ...(segment.from === undefined ? {} : { [ATTR.segmentFrom]: segment.from }),
  };
}

/** `SYN-ACK`, `FIN-ACK`: as people say them, what is special first. */
function flagsText(flags: readonly TcpFlagName[]): string {
  return FLAGS_AS_SAID.filter((flag) => flags.includes(flag)).join('-');
}

/** `mss 1460, wscale 7, sack, timestamps`; `none` without any. */
function optionsText(options: SynOptions): string {
  const words = [
    ...(options.mss === undefined ? [] : [`mss ${options.mss}`]),
    ...(options.windowScale === undefined ? [] : [`wscale ${options.windowScale}`]),
    ...(options.sackPermitted ? ['sack'] : []),
    ...(options.timestamps ? ['timestamps'] : []),
  ];
  return words.join(', ') || 'none';
}

const FLAGS_AS_SAID: readonly TcpFlagName[] = ['SYN', 'FIN', 'RST', 'PSH', 'ACK', 'URG', 'ECE', 'CWR'];

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** Unix microseconds as [seconds, nanoseconds]; OpenTelemetry takes small plain numbers for something else. */
function hrTime(unixUs: number): HrTime {
  const seconds = Math.floor(unixUs / 1e6);
  const nanos = Math.round((unixUs - seconds * 1e6) * 1000);
  return nanos < 1e9 ? [seconds, nanos] : [seconds + 1, 0];
}
