/** A HandshakeProbe controller on a real API server, for tests; what agents would report is handed in. */

import type { ProbeResult, ProbeTarget } from '#contract';
import { addressPolicy, addressRange } from '../../../base/address-policy.ts';
import type { StatusCondition } from '../../../operator/api/v1alpha1/condition.ts';
import type { HandshakeProbeStatus } from '../../../operator/api/v1alpha1/handshake-probe.ts';
import type { HandshakeProbeController } from '../../../operator/controllers/handshake-probe/controller.ts';
import { createHandshakeProbeController } from '../../../operator/controllers/handshake-probe/controller.ts';
import type { KubeClient } from '../../../operator/kube/client.ts';
import type { EventInput } from '../../../operator/kube/event-recorder.ts';
import { HANDSHAKE_PROBES } from '../../../operator/kube/resource.ts';
import { createInventory } from '../../../operator/workloads/inventory.ts';
import type { ApiServer } from '../../cluster/api-server.ts';
import { startApiServer } from '../../cluster/api-server.ts';
import { installCrds } from '../../cluster/crds.ts';
import { sampleProbe } from '../../support/report.ts';
import { until } from '../../support/until.ts';

export const NEEDS = { needs: ['cluster' as const], timeoutMs: 300_000 };
export interface Scene extends AsyncDisposable {
  readonly server: ApiServer;
  readonly controller: HandshakeProbeController;
  readonly events: EventInput[];
  /** What was logged as an error. */
  readonly logged: { readonly message: string }[];
  /** Called before each write of a status. */
  beforeWrite: () => Promise<void>;
  restart(): Promise<void>;
}

export async function scene(): Promise<Scene> {
  await using starting = new AsyncDisposableStack();
  const server = starting.use(await startApiServer());
  await installCrds(server);
  for (const name of ['ferry', 'harbour']) {
    await server.apply(
      JSON.stringify({ apiVersion: 'v1', kind: 'Node', metadata: { name, labels: { at: name } } }),
    );
  }
  const events: EventInput[] = [];
  const logged: { readonly message: string }[] = [];
  const log = {
    log: (level: string, message: string) => void (level === 'error' && logged.push({ message })),
  };
  const denied = addressRange('169.254.0.0/16');
  const policy = addressPolicy([], denied.ok ? [denied.value] : []);
  const hook = { beforeWrite: async () => {} };
  const client: KubeClient = {
    ...server.client,
    async apply(...write) {
      await hook.beforeWrite();
      return server.client.apply(...write);
    },
  };
  const begin = () => {
    const inventory = createInventory({ client: server.client, log });
    const controller = createHandshakeProbeController({
      client,
      inventory,
      fleet: { nodeView: () => undefined },
      recorder: { record: (event) => void events.push(event) },
      policy,
      log,
    });
    inventory.start();
    controller.start();
    const stop = async () => {
      await controller.stop();
      await inventory.stop();
    };
    return { controller, stop };
  };
  let current = begin();
  starting.defer(() => current.stop());
  const running = starting.move();
  return {
    server,
    events,
    logged,
    set beforeWrite(listener: () => Promise<void>) {
      hook.beforeWrite = listener;
    },
    get controller() {
      return current.controller;
    },
    async restart() {
      await current.stop();
      current = begin();
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

export function manifest(name: string, spec: object): string {
  const metadata = { name, namespace: 'default' };
  return JSON.stringify({ apiVersion: 'finwait.io/v1alpha1', kind: 'HandshakeProbe', metadata, spec });
}

export const TARGET = { name: 'shop', address: '10.0.0.7', port: 80 };

/** What an agent would report of a target. */
export function resultFor(target: ProbeTarget, changes: Partial<ProbeResult> = {}): ProbeResult {
  const { name, host, port, origin, ref, once } = target;
  const asked = { name, host, port, origin, ...(ref === undefined ? {} : { ref }) };
  return sampleProbe({
    target: { ...asked, ...(once === undefined ? {} : { once }) },
    remote: { address: host, port },
    startUs: Date.now() * 1000,
    ...changes,
  });
}

export async function assigned(at: Scene, node: string, count: number): Promise<readonly ProbeTarget[]> {
  return until(`${node} has ${count} targets`, () => {
    const targets = at.controller.assignmentOf(node);
    return targets?.length === count ? targets : undefined;
  });
}

export async function statusOf(at: Scene, name: string): Promise<HandshakeProbeStatus | undefined> {
  return (await at.server.client.get(HANDSHAKE_PROBES, 'default', name)).status as
    | HandshakeProbeStatus
    | undefined;
}

/** Waits until a condition has a status; answers it with the whole status. */
export async function condition(at: Scene, name: string, type: string, wanted: string) {
  return until(`${name} is ${type}=${wanted}`, async () => {
    const status = await statusOf(at, name);
    const found = status?.conditions.find((each: StatusCondition) => each.type === type);
    return status !== undefined && found?.status === wanted ? { ...found, whole: status } : undefined;
  });
}
