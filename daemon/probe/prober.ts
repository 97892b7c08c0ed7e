/**
 * Probes on top of the engine: opens a connection, exchanges a request if there is one, closes, and judges. It does
 * no input or output and reads no clock; `advance` is called with the time after everything the stack was given.
 */

import type { Endpoint, ProbeResult } from '#contract';
import type { ConnectionId, EndReason, EngineErrorReason, StackEvent, TcpStack } from '../tcp/types.ts';
import { formatEndpoint, sameAddress } from '../wire/address.ts';
import { seqDiff } from '../wire/seq.ts';
import { ACK, SYN } from '../wire/tcp-header.ts';
import { icmpText } from './icmp-text.ts';
import { Recorder } from './recorder.ts';
import type { Probe } from './result.ts';
import { hopsOf, probeResult, resultWithoutProbe } from './result.ts';
import type { Ending, IcmpFact, ProbeFacts } from './verdict.ts';
import { deniesAtOnce, deniesConnection, verdictOf } from './verdict.ts';

export interface ProberOptions {
  /** Unix time in microseconds of a monotonic time. */
  readonly unixUs: (monotonicUs: number) => number;
  /** Total of packets that were lost between the engine and its device; read at the start and end of each probe. */
  readonly losses: () => number;
}

/** How long the true answer may still take once strangers have answered two SYNs. */
const TRUE_ANSWER_US = 1_000_000;

/** A probe under way. */
interface Run {
  readonly probe: Probe;
  readonly connection: ConnectionId;
  readonly local: Endpoint;
  /** The key of `#byLocal`. */
  readonly localKey: string;
  readonly recorder: Recorder;
  readonly startedUs: number;
  phase: 'handshake' | 'exchange' | 'close';
  deadlineUs: number;
  /** What of the request the stack has not taken yet. */
  unsent: Uint8Array;
  icmp: IcmpFact | undefined;
  icmpErrors: number;
  wrongSource: (NonNullable<ProbeFacts['wrongSource']> & { readonly syn: number }) | undefined;
  retransmits: ProbeResult['retransmits'];
  rttUs: number | undefined;
  readonly lossesBefore: number;
  tainted: string | undefined;
  /** Set once it is judged. The result is made later, when the RST that may follow has been sent. */
  judged: { readonly ending: Ending; readonly atUs: number } | undefined;
}

const RECEIVE_BYTES = 65_536;

export class Prober {
  /** Probes by how they ended, and what the engine refused. */
  readonly counters = { probes_started: 0, probes_finished: 0, probes_refused_by_engine: 0 };
  readonly #stack: TcpStack;
  readonly #unixUs: (monotonicUs: number) => number;
  readonly #losses: () => number;
  readonly #runs = new Map<ConnectionId, Run>();
  /** Runs by `ADDRESS:PORT` of our side, to find the one a stray segment is meant for. */
  readonly #byLocal = new Map<string, Run>();
  readonly #results: ProbeResult[] = [];

  constructor(stack: TcpStack, options: ProberOptions) {
    this.#stack = stack;
    this.#unixUs = options.unixUs;
    this.#losses = options.losses;
  }

  /** How many probes are under way. */
  get running(): number {
    return this.#runs.size;
  }

  /** Sends the SYN. What the engine refuses becomes a result at once. */
  start(probe: Probe, nowUs: number): void {
    const { target, address } = probe;
    const opened = this.#stack.connect({ remote: { address, port: target.port } }, nowUs);
    const info = opened.ok ? this.#stack.info(opened.value) : undefined;
    if (!opened.ok || info === undefined) {
      this.counters.probes_refused_by_engine++;
      this.#results.push(this.#refused(probe, opened.ok ? 'no-such-connection' : opened.reason, nowUs));
      return;
    }
    this.counters.probes_started++;
    const request = new TextEncoder().encode(target.send ?? '');
    const run: Run = {
      probe,
      connection: opened.value,
      local: { address: info.local.address.text, port: info.local.port },
      localKey: formatEndpoint(info.local.address, info.local.port),
      recorder: new Recorder(request.length),
      startedUs: nowUs,
      phase: 'handshake',
      deadlineUs: nowUs + target.limits.connectMs * 1000,
      unsent: request,
      icmp: undefined,
      icmpErrors: 0,
      wrongSource: undefined,
      retransmits: info.retransmits,
      rttUs: undefined,
      lossesBefore: this.#losses(),
      tainted: undefined,
      judged: undefined,
    };
    this.#runs.set(opened.value, run);
    this.#byLocal.set(run.localKey, run);
  }

  /** Ends a probe now, with the verdict `aborted`; the peer of an open connection gets a RST. */
  abort(probeId: string, nowUs: number): void {
    for (const run of this.#runs.values()) if (run.probe.id === probeId) this.#judge(run, 'aborted', nowUs);
  }

  abortAll(nowUs: number): void {
    for (const run of this.#runs.values()) this.#judge(run, 'aborted', nowUs);
  }

  /** Marks the samples of all probes under way as not to be trusted. */
  taint(reason: string): void {
    for (const run of this.#runs.values()) run.tainted ??= reason;
  }

  /** Takes the stack's events and applies limits. To be called after input, after timers and after sending. */
  advance(nowUs: number): void {
    this.#takeEvents(nowUs);
    for (const run of this.#runs.values()) if (run.deadlineUs <= nowUs) this.#judge(run, 'limit', nowUs);
    this.#takeEvents(nowUs);
  }

  /** When `advance` is to be called at the latest; Infinity when nothing runs. */
  nextDeadlineUs(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const run of this.#runs.values()) {
      next = Math.min(next, run.judged === undefined ? run.deadlineUs : run.judged.atUs);
    }
    return next;
  }

  /** Takes the results since the last call. To be called when all that the stack had to send has been sent. */
  results(): ProbeResult[] {
    for (const run of this.#runs.values()) if (run.judged !== undefined) this.#finish(run, run.judged);
    return this.#results.splice(0);
  }

  #takeEvents(nowUs: number): void {
    for (let events = this.#stack.events(); events.length > 0; events = this.#stack.events()) {
      for (const event of events) this.onEvent(event, nowUs);
    }
  }

  /** One event of the stack, for a driver that shares them out itself; `advance` takes all that are left. */
  onEvent(event: StackEvent, nowUs: number): void {
    const run = event.kind === 'stray' ? undefined : this.#runs.get(event.id);
    if (event.kind === 'stray') this.#onStray(event);
    if (event.kind === 'stray' || run === undefined) return;
    this.#observe(run);
    switch (event.kind) {
      case 'segment':
        run.recorder.segment(event.direction, event.atUs, event.segment);
        if (isClosed(run.recorder)) this.#judge(run, 'closed', event.atUs);
        break;
      case 'state':
        if (event.to === 'ESTABLISHED' && run.phase === 'handshake') this.#onEstablished(run, nowUs);
        break;
      case 'drained':
        this.#sendRequest(run, nowUs);
        break;
      case 'readable':
        this.#onReadable(run, nowUs);
        break;
      case 'icmp':
        this.#onIcmp(run, event);
        break;
      case 'ended':
        if (run.judged === undefined) this.#judge(run, endingOf(event.reason), event.atUs);
        break;
    }
  }

  #onEstablished(run: Run, nowUs: number): void {
    if (run.unsent.length === 0) {
      this.#close(run, nowUs);
    } else {
      run.phase = 'exchange';
      run.deadlineUs = nowUs + run.probe.target.limits.exchangeMs * 1000;
      this.#sendRequest(run, nowUs);
    }
  }

  #sendRequest(run: Run, nowUs: number): void {
    if (run.judged !== undefined || run.unsent.length === 0) return;
    const taken = this.#stack.send(run.connection, run.unsent, nowUs);
    if (taken.ok) run.unsent = run.unsent.subarray(taken.value);
  }

  /** What the peer sends is read and dropped, so that its window never closes; the end of an exchange is noticed. */
  #onReadable(run: Run, nowUs: number): void {
    if (run.judged !== undefined) return;
    for (;;) {
      const read = this.#stack.receive(run.connection, RECEIVE_BYTES, nowUs);
      if (!read.ok) return;
      const { data, eof } = read.value;
      const answered = run.recorder.steps.firstByteUs !== undefined;
      if (run.phase === 'exchange' && (answered || eof)) this.#close(run, nowUs);
      if (data.length === 0) return;
    }
  }

  #close(run: Run, nowUs: number): void {
    run.phase = 'close';
    run.unsent = new Uint8Array();
    run.deadlineUs = nowUs + run.probe.target.limits.closeMs * 1000;
    this.#stack.shutdown(run.connection, nowUs);
  }

  #onIcmp(run: Run, { atUs, from, error }: Extract<StackEvent, { kind: 'icmp' }>): void {
    const { family, kind, type, code } = error;
    run.recorder.icmp(atUs, from.text, icmpText(error));
    if (run.phase === 'handshake' && !deniesConnection(kind)) return;
    run.icmpErrors++;
    run.icmp ??= { from: from.text, family, kind, type, code, atUs: run.recorder.offset(atUs) };
    if (
      run.phase === 'handshake' &&
      (deniesAtOnce(kind) || (run.icmpErrors > 1 && run.recorder.synsSent > 1))
    ) {
      this.#judge(run, 'icmp', atUs);
    }
  }

  /** A SYN-ACK that acknowledges our SYN but comes from elsewhere. The true answer may still come. */
  #onStray({ atUs, local, remote, segment }: Extract<StackEvent, { kind: 'stray' }>): void {
    const run = this.#byLocal.get(formatEndpoint(local.address, local.port));
    if (run === undefined || run.phase !== 'handshake' || run.recorder.iss === undefined) return;
    const isSynAck = (segment.flags & (SYN | ACK)) === (SYN | ACK);
    if (!isSynAck || seqDiff(segment.ack, run.recorder.iss) !== 1) return;
    const { address, target } = run.probe;
    if (sameAddress(remote.address, address) && remote.port === target.port) return;
    const from = formatEndpoint(remote.address, remote.port);
    run.recorder.stray(atUs, segment, from);
    const syn = run.recorder.synsSent;
    run.wrongSource ??= { from, atUs: run.recorder.offset(atUs), syn };
    if (syn > run.wrongSource.syn) run.deadlineUs = Math.min(run.deadlineUs, atUs + TRUE_ANSWER_US);
  }

  /** Keeps what the stack forgets with the connection. */
  #observe(run: Run): void {
    const info = this.#stack.info(run.connection);
    if (info === undefined) return;
    run.retransmits = info.retransmits;
    run.rttUs = info.srttUs ?? run.rttUs;
  }

  /** A connection that is not closed on both sides is reset, so that the peer holds nothing of it. */
  #judge(run: Run, ending: Ending, atUs: number): void {
    if (run.judged !== undefined) return;
    this.#observe(run);
    run.judged = { ending, atUs };
    run.deadlineUs = Number.POSITIVE_INFINITY;
    if (ending !== 'closed') this.#stack.abort(run.connection, atUs);
  }

  #finish(run: Run, { ending, atUs }: NonNullable<Run['judged']>): void {
    const facts = this.#facts(run, atUs);
    const verdict = verdictOf(ending, facts);
    const result = probeResult(run.probe, verdict, facts, run.recorder, {
      local: run.local,
      startUs: Math.round(this.#unixUs(run.recorder.originUs ?? run.startedUs)),
      retransmits: run.retransmits,
      rttUs: run.rttUs === undefined ? undefined : Math.round(run.rttUs),
      tainted: this.#losses() > run.lossesBefore ? 'queue-drop' : run.tainted,
    });
    this.#results.push(result);
    this.counters.probes_finished++;
    this.#runs.delete(run.connection);
    if (this.#byLocal.get(run.localKey) === run) this.#byLocal.delete(run.localKey);
  }

  #facts(run: Run, atUs: number): ProbeFacts {
    const { probe, recorder, icmp, icmpErrors, wrongSource } = run;
    const { steps, synsSent, finsSent, requestsSent, synAckRepeats, bareAck, resetUs, ttl } = recorder;
    return {
      remote: { address: probe.address.text, port: probe.target.port },
      limits: probe.target.limits,
      steps,
      withRequest: probe.target.send !== undefined && probe.target.send !== '',
      endUs: recorder.offset(atUs),
      synsSent,
      finsSent,
      requestsSent,
      synAckRepeats,
      bareAck,
      peerSynUs: recorder.peerSynUs,
      acceptedSyn: recorder.acceptedSyn,
      unacceptable: recorder.unacceptable,
      ttl,
      hops: ttl === undefined ? undefined : hopsOf(ttl),
      resetUs,
      wrongSource,
      icmp,
      icmpErrors,
      progressed: recorder.progressed,
      peerClosedFirst: recorder.peerClosedFirst,
      handshakeNetUs: recorder.handshakeNetUs,
    };
  }

  #refused(probe: Probe, reason: EngineErrorReason, nowUs: number): ProbeResult {
    const unreachable = reason === 'address-family-unsupported' || reason === 'invalid-remote';
    const why = REFUSALS[reason] ?? `the engine answered ${reason}`;
    return resultWithoutProbe(
      probe,
      unreachable ? 'unreachable' : 'aborted',
      why,
      Math.round(this.#unixUs(nowUs)),
    );
  }
}

const REFUSALS: Readonly<Partial<Record<EngineErrorReason, string>>> = {
  'address-family-unsupported': 'finwait has no address of that family on this machine',
  'invalid-remote': 'that address cannot be connected to',
  'no-ports-left': 'not probed: all ports of the engine to that address are in use',
  'too-many-connections': 'not probed: the engine has as many connections as it may',
};

function isClosed({ steps }: Recorder): boolean {
  return steps.finAckedUs !== undefined && steps.lastAckSentUs !== undefined;
}

function endingOf(reason: EndReason): Ending {
  switch (reason) {
    case 'closed':
      return 'closed';
    case 'refused':
    case 'reset':
      return 'reset';
    case 'unreachable':
      return 'icmp';
    case 'timeout':
      return 'limit';
    case 'aborted':
      return 'aborted';
  }
}
