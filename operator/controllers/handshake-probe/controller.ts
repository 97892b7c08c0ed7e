/**
 * Runs HandshakeProbes: tells each node what to probe, gathers the results, and writes what a reader would notice
 * into the status. Runs on the leader alone; a new leader goes on from the status.
 */

import { randomUUID } from 'node:crypto';
import type { AddressPolicy } from '#base/address-policy.ts';
import type { Condition } from '#base/errors.ts';
import type { Logger } from '#base/log.ts';
import type { ProbeResult, ProbeTarget } from '#contract';
import type { StatusCondition } from '../../api/v1alpha1/condition.ts';
import type { HandshakeProbeStatus } from '../../api/v1alpha1/handshake-probe.ts';
import type { Fleet } from '../../fleet/fleet.ts';
import type { KubeClient } from '../../kube/client.ts';
import type { EventRecorder } from '../../kube/event-recorder.ts';
import { isConflict, isNotFound } from '../../kube/kube-error.ts';
import type { Reflector } from '../../kube/reflector.ts';
import { countersOf, createReflector, sizesOf } from '../../kube/reflector.ts';
import { ENDPOINT_SLICES, HANDSHAKE_PROBES, SERVICES } from '../../kube/resource.ts';
import { createWorkQueue } from '../../kube/work-queue.ts';
import { probeRefOf } from '../../probe-ref.ts';
import type { Inventory } from '../../workloads/inventory.ts';
import { turnsOf } from '../turns.ts';
import { WriteBudget } from '../write-budget.ts';
import { Endpoints } from './endpoints.ts';
import { foundOf } from './found.ts';
import { Plan } from './plan.ts';
import type { ProbeRecord, ServiceRecord } from './probe-record.ts';
import { endpointsRecord, probeRecord, serviceRecord } from './probe-record.ts';
import { RunState } from './run-state.ts';
import { patienceMs, probeStatus } from './status.ts';

export interface HandshakeProbeOptions {
  readonly client: KubeClient;
  readonly inventory: Pick<Inventory, 'nodes' | 'synced'>;
  readonly fleet: Pick<Fleet, 'nodeView'>;
  readonly recorder: Pick<EventRecorder, 'record'>;
  /** What the agents may not probe either: told at once where the address is known. */
  readonly policy: AddressPolicy;
  readonly log: Logger;
  readonly nowMs?: () => number;
}

export interface HandshakeProbeController {
  start(): void;
  stop(): Promise<void>;
  /** What a node is to probe now; undefined until that is known. */
  assignmentOf(node: string): readonly ProbeTarget[] | undefined;
  onResult(node: string, result: ProbeResult): void;
  conditions(): Condition[];
  counters(): Readonly<Record<string, number>>;
  /** Objects held, by plural. */
  sizes(): Readonly<Record<string, number>>;
}

const FIELD_MANAGER = 'finwait-handshake-probes';
/** Results of one report come together; the status is written once for them. */
const GATHER_MS = 200;
/** What is no more than another time of the same result is written so often. */
const FIGURES_EVERY_MS = 30_000;
/** A fifth of a core for any number of results, of which judging takes about a third of a microsecond each. */
const GATHER_MS_PER_RESULT = 0.002;
const LOOK_AGAIN_MS = 5000;
const RESULT_LIFE_INTERVALS = 3;
/** How many results are kept that come before everything was listed. */
const EARLY_RESULTS = 10_000;
/** Writes per second in the long run, and at once: other times of the same results must not hold up judgements. */
const BUDGETS = { judgement: { perSecond: 25, burst: 250 }, figures: { perSecond: 10, burst: 50 } };

export function createHandshakeProbeController(options: HandshakeProbeOptions): HandshakeProbeController {
  const { client, inventory, fleet, recorder, policy, log, nowMs = Date.now } = options;
  const probes = createReflector<ProbeRecord>({ client, resource: HANDSHAKE_PROBES, slim: probeRecord, log });
  const services = createReflector<ServiceRecord>({ client, resource: SERVICES, slim: serviceRecord, log });
  const slices = createReflector({ client, resource: ENDPOINT_SLICES, slim: endpointsRecord, log });
  const reflectors = [probes, services, slices] as const;
  const endpoints = new Endpoints();
  const term = randomUUID();
  const states = new Map<string, RunState>();
  /** How many results are kept of all probes. */
  let held = 0;
  const budgets = {
    judgement: new WriteBudget(BUDGETS.judgement.perSecond, BUDGETS.judgement.burst),
    figures: new WriteBudget(BUDGETS.figures.perSecond, BUDGETS.figures.burst),
  };
  const counters = {
    results: 0,
    unknownResults: 0,
    droppedResults: 0,
    failedResults: 0,
    written: 0,
    deferred: 0,
    eventsRecorded: 0,
  };
  const queue = createWorkQueue({ name: 'HandshakeProbe', handle, log });
  /** Kept only once everything is listed. */
  const plan = new Plan({
    stateOf: (probe) => stateOf(`${probe.namespace}/${probe.name}`, probe),
    directory: {
      serviceOf: (key) => services.get(key),
      endpointsOf: (key) => endpoints.of(key),
      policy,
    },
    term,
  });
  let synced = false;
  /** Results that came before everything was listed. */
  let early: { readonly node: string; readonly result: ProbeResult }[] = [];

  probes.onChange((key, now, before) => {
    // Our own writes of the status change nothing that is asked for.
    if (!synced || (now?.uid === before?.uid && now?.generation === before?.generation)) return;
    if (now === undefined) plan.remove(key);
    else plan.set(key, now);
    queue.add(key);
  });
  const serviceChanged = (service: string): void => {
    if (!synced) return;
    for (const key of plan.usersOf(service)) {
      const probe = probes.get(key);
      if (probe === undefined) continue;
      plan.set(key, probe);
      queue.add(key, gatherMs());
    }
  };
  services.onChange(serviceChanged);
  slices.onChange((_key, now, before) => {
    endpoints.replace(now, before);
    for (const service of new Set([now?.service, before?.service])) {
      if (service !== undefined) serviceChanged(service);
    }
  });
  inventory.nodes.onChange((name, now) => {
    if (synced) for (const key of plan.setNode(name, now)) queue.add(key, gatherMs());
  });

  /** The more results there are, the more of them are judged at a time: all together are a bounded load. */
  function gatherMs(): number {
    return Math.max(GATHER_MS, held * GATHER_MS_PER_RESULT);
  }

  function stateOf(key: string, probe: ProbeRecord): RunState {
    const known = states.get(key);
    if (known?.uid === probe.uid && known.generation === probe.generation) return known;
    const state = new RunState(probe, nowMs());
    states.set(key, state);
    return state;
  }

  async function handle(key: string): Promise<{ requeueAfterMs: number } | undefined> {
    if (!synced) return undefined;
    const probe = probes.get(key);
    if (probe === undefined) {
      states.delete(key);
      return undefined;
    }
    const state = stateOf(key, probe);
    if (state.complete) return undefined;
    const now = nowMs();
    const { places, faults, nodes } = plan.of(key);
    const lifeMs = probe.once
      ? Number.POSITIVE_INFINITY
      : RESULT_LIFE_INTERVALS * probe.intervalMs + patienceMs(probe);
    state.prune(nodes, places, now - lifeMs);
    held = states.values().reduce((sum, { size }) => sum + size, 0);
    const missing = state.missing(nodes, places);
    const status = probeStatus({
      probe,
      faults,
      nodes: nodes.size,
      wanted: nodes.size * places.length,
      missing,
      whyMissing: (node) => whyMissing(node, now),
      found: state.found,
      leftOut: probe.once ? Math.min(plan.leftOut(key), missing.length * places.length) : plan.leftOut(key),
      sinceMs: state.sinceMs,
      before: state.status,
      nowMs: now,
    });
    const news = newsOf(state, status, now);
    if (news === 'none') return { requeueAfterMs: LOOK_AGAIN_MS };
    if (!budgets[news].take(now)) {
      counters.deferred++;
      return { requeueAfterMs: 1000 };
    }
    if (!(await write(probe, state, status))) return { requeueAfterMs: GATHER_MS };
    return state.complete ? undefined : { requeueAfterMs: LOOK_AGAIN_MS };
  }

  /** @returns whether it was written */
  async function write(probe: ProbeRecord, state: RunState, status: HandshakeProbeStatus): Promise<boolean> {
    const { namespace, name, uid, resourceVersion } = probe;
    // Its version keeps it from a probe that was made anew under the same name.
    const object = { metadata: { namespace, name, resourceVersion }, status };
    try {
      await client.apply(HANDSHAKE_PROBES, object, { fieldManager: FIELD_MANAGER, subresource: 'status' });
    } catch (error) {
      // It is gone, or was changed meanwhile: the reflector is about to tell.
      if (isNotFound(error) || isConflict(error)) return false;
      throw error;
    }
    counters.written++;
    const turns = toldTurns(state.status, status);
    state.status = status;
    state.wroteMs = nowMs();
    if (state.complete) plan.set(`${namespace}/${name}`, probe);
    for (const turn of turns) {
      counters.eventsRecorded++;
      recorder.record({
        regarding: { apiVersion: 'finwait.io/v1alpha1', kind: 'HandshakeProbe', namespace, name, uid },
        type: turn.status === 'False' ? 'Warning' : 'Normal',
        reason: turn.reason,
        action: 'Probe',
        note: turn.message,
      });
    }
    return true;
  }

  function whyMissing(node: string, now: number): string {
    const view = fleet.nodeView(node, now);
    if (view === undefined) return 'no agent reports';
    if (view.stale) return 'its agent is silent';
    if (view.agent.mode === 'observe') return 'its agent is in mode observe, which does not probe';
    const trouble = view.conditions.find(({ code }) => code.startsWith('TUN_'));
    return trouble === undefined ? 'not probed yet' : `${trouble.code}: ${trouble.message}`;
  }

  function take(node: string, result: ProbeResult): void {
    if (result.target.ref === undefined || result.verdict === 'aborted') return;
    const ref = probeRefOf(result.target);
    if (ref === undefined) {
      counters.unknownResults++;
      return;
    }
    const key = `${ref.namespace}/${ref.name}`;
    const probe = probes.get(key);
    // What an agent hands back is not trusted: it must be what this node was told to probe.
    const { host, port } = result.target;
    const asked = plan.asks(key, node, { target: ref.target, host, port });
    if (probe === undefined || !asked || ref.uid !== probe.uid || ref.generation !== probe.generation) {
      counters.unknownResults++;
      return;
    }
    counters.results++;
    const expectation = { verdict: probe.expected, handshakeWithinUs: probe.handshakeWithinUs };
    const origin = { target: ref.target, node, receivedMs: nowMs() };
    stateOf(key, probe).add(foundOf(result, origin, expectation), probe.intervalMs);
    queue.add(key, gatherMs());
  }

  /** A result that cannot be handled must not cost the other results of its report, nor its trace. */
  function takeSafely(node: string, result: ProbeResult): void {
    try {
      take(node, result);
    } catch (error) {
      counters.failedResults++;
      log.log('error', 'a result could not be handled', { node, error: String((error as Error).stack) });
    }
  }

  async function begin(): Promise<void> {
    await Promise.all([inventory.synced, ...reflectors.map((each) => each.synced)]);
    synced = true;
    const waiting = early;
    early = [];
    for (const node of inventory.nodes.list()) plan.setNode(node.name, node);
    for (const probe of probes.list()) plan.set(`${probe.namespace}/${probe.name}`, probe);
    for (const { node, result } of waiting) takeSafely(node, result);
    for (const { namespace, name } of probes.list()) queue.add(`${namespace}/${name}`, GATHER_MS);
  }

  return {
    start() {
      for (const reflector of reflectors) reflector.start();
      begin().catch((error: unknown) => {
        log.log('error', 'the probes could not be begun', { error: String((error as Error).stack) });
      });
    },
    async stop() {
      await queue.stop();
      await Promise.all(reflectors.map((reflector) => reflector.stop()));
    },
    assignmentOf: (node) => (synced ? plan.assignmentOf(node) : undefined),
    onResult(node, result) {
      if (synced) takeSafely(node, result);
      else if (early.length < EARLY_RESULTS) early.push({ node, result });
      else counters.droppedResults++;
    },
    conditions: () => reflectors.flatMap((reflector) => reflector.conditions()),
    sizes: () => sizesOf(reflectors as readonly Reflector<unknown>[]),
    counters: () => ({
      ...counters,
      ...countersOf(reflectors as readonly Reflector<unknown>[]),
      'queue.handled': queue.counters.handled,
      'queue.failed': queue.counters.failed,
    }),
  };
}

/** What is worth an Event: a probe fails, is well again, or a run has ended; that a run goes on is none. */
function toldTurns(before: HandshakeProbeStatus | undefined, now: HandshakeProbeStatus): StatusCondition[] {
  const ended = now.conditions.filter(
    ({ type, status, observedGeneration }) =>
      type === 'Succeeded' &&
      status === 'True' &&
      !before?.conditions.some(
        (each) =>
          each.type === type && each.status === status && each.observedGeneration === observedGeneration,
      ),
  );
  const turns = turnsOf(before?.conditions, now.conditions).filter(({ type }) => type !== 'Complete');
  return [...turns.filter((turn) => !ended.includes(turn)), ...ended];
}

/** A changed judgement at once; other times of the same results now and then. */
function newsOf(
  { status: before, wroteMs }: RunState,
  next: HandshakeProbeStatus,
  nowMs: number,
): 'judgement' | 'figures' | 'none' {
  if (before === undefined || judgement(before) !== judgement(next)) return 'judgement';
  const due = nowMs - wroteMs >= FIGURES_EVERY_MS && before.lastProbeTime !== next.lastProbeTime;
  return due ? 'figures' : 'none';
}

function judgement({
  observedGeneration,
  result,
  expected,
  nodes,
  foldedResults,
  conditions,
}: HandshakeProbeStatus): string {
  const judged = conditions.map(({ type, status, reason }) => `${type}=${status}/${reason}`);
  return [observedGeneration, result, expected, nodes, foldedResults, ...judged].join(' ');
}
