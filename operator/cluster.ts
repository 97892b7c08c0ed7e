/**
 * The surroundings of an operator in a cluster: the API server reviews the agents' tokens, one of several replicas
 * holds the Lease and leads, and what is to be probed is in custom resources.
 */

import { randomUUID } from 'node:crypto';
import { isIP } from 'node:net';
import { addressPolicy } from '#base/address-policy.ts';
import type { Condition } from '#base/errors.ts';
import { FinwaitError } from '#base/errors.ts';
import { hostPortText } from '#base/host-port.ts';
import type { Logger } from '#base/log.ts';
import type { ProbeTarget } from '#contract';
import type { Fleet } from './fleet/fleet.ts';
import type { LeadershipView } from './fleet/view.ts';
import { reviewBy } from './ingest/review-by-kube.ts';
import { tokenReviewAuthenticator } from './ingest/token-review.ts';
import type { KubeClient } from './kube/client.ts';
import { createKubeClient } from './kube/client.ts';
import type { LeaderElection } from './kube/leader-election.ts';
import { createLeaderElection } from './kube/leader-election.ts';
import type { OperatorSettings } from './settings.ts';
import type { Surroundings } from './surroundings.ts';
import type { Term } from './term.ts';
import { startTerm } from './term.ts';
import type { TlsSource } from './tls/renewal.ts';
import { tlsFromDir, tlsFromFiles, tlsFromSecret } from './tls/source.ts';

export interface ClusterParts {
  readonly fleet: Fleet;
  /** Targets of the command line, probed from every node beside those of custom resources. */
  readonly targets: readonly ProbeTarget[];
  readonly log: Logger;
}

/** Without a leader for so long, something is wrong with the Lease: an election takes less. */
const LEADERLESS_MS = 20_000;

/** @throws FinwaitError KUBE_CONFIG_UNUSABLE, CONFIG_INVALID */
export async function inCluster(
  settings: OperatorSettings,
  { fleet, targets, log }: ClusterParts,
): Promise<Surroundings> {
  const address = advertisedAddress(settings);
  const { kubeconfig, probeAllow, probeDeny } = settings;
  const policy = addressPolicy(probeAllow, probeDeny);
  const client = await createKubeClient(kubeconfig === '' ? {} : { kubeconfig });
  const namespace = settings.namespace || client.namespace;
  const audience = settings.tokenAudience || `finwait.${namespace}`;
  const account = settings.agentServiceAccount;
  const reviews: Record<string, number> = {};
  const authenticate = tokenReviewAuthenticator({
    review: reviewBy(client, audience),
    audience,
    username: `system:serviceaccount:${account.namespace || namespace}:${account.name}`,
    nowMs: Date.now,
    count: (event) => {
      reviews[event] = (reviews[event] ?? 0) + 1;
    },
  });

  let election: LeaderElection | undefined;
  let term: Term | undefined;
  /** Terms begin and end one after the other. */
  let turn = Promise.resolve();
  let leaderlessSinceMs: number | undefined;
  let stopping = false;

  const takeTurn = (): void => {
    turn = turn.then(async () => {
      const leads = election?.isLeader() === true;
      if (leads && term === undefined && !stopping) {
        term = startTerm({ client, fleet, targets, policy, identity: settings.podName, log });
      } else if (!leads && term !== undefined) {
        await endTerm();
      }
    });
  };
  const endTerm = async (): Promise<void> => {
    const ending = term;
    term = undefined;
    await ending?.stop();
    // The next leader gets every report that is not settled; what is known here would grow old.
    fleet.clear();
  };
  const leadership = (): LeadershipView => {
    const holder = election?.leader();
    const leader = holder === undefined ? {} : { leader: { name: holder.identity, address: holder.address } };
    if (term !== undefined && election?.isLeader() === true) return { leads: true, ...leader };
    // Elected and not begun, or stopping: this replica takes nothing, and nobody else does yet.
    return { leads: false, ...(holder?.identity === settings.podName ? {} : leader) };
  };
  const idle = randomUUID();

  return {
    tls: tlsOf(settings, client, namespace, log),
    authenticate,
    leadership,
    instance: () => term?.id ?? idle,
    assignmentOf: (node) => (term === undefined ? targets : term.assignmentOf(node)),
    onReport: (node, report) => term?.onReport(node, report),
    conditions() {
      const nowMs = Date.now();
      leaderlessSinceMs = election?.leader() === undefined ? (leaderlessSinceMs ?? nowMs) : undefined;
      const leaderless = nowMs - (leaderlessSinceMs ?? nowMs) > LEADERLESS_MS;
      return [
        ...(leaderless ? [NO_LEADER] : []),
        ...(election?.conditions() ?? []),
        ...(term?.conditions() ?? []),
      ];
    },
    counters: () => ({
      ...reviews,
      ...Object.fromEntries(
        [...client.requests].map(([what, n]) => [`kube.${what.replaceAll(' ', '.')}`, n]),
      ),
      ...term?.counters(),
    }),
    sizes: () => term?.sizes() ?? {},
    start(ingestPort) {
      election = createLeaderElection({
        client,
        namespace,
        name: settings.leaseName,
        identity: settings.podName,
        address: `https://${hostPortText(address, ingestPort)}`,
        log,
      });
      election.onChange(takeTurn);
      election.start();
    },
    async stop() {
      stopping = true;
      await turn;
      await endTerm();
      // Only now may another lead: the last writes are done.
      await election?.stop();
      client.close();
    },
  };
}

const NO_LEADER: Condition = {
  code: 'NOT_LEADER',
  message: 'no operator leads, so no reports are taken',
  hint: "see the operators' logs, the Lease, and whether they may get and update it",
};

function tlsOf(settings: OperatorSettings, client: KubeClient, namespace: string, log: Logger): TlsSource {
  const { tlsMode, tlsDir, tlsNames, tlsSecret, tlsConfigMap } = settings;
  switch (tlsMode) {
    case 'secret':
      return tlsFromSecret(client, { namespace, secret: tlsSecret, configMap: tlsConfigMap }, tlsNames, log);
    case 'files':
      return tlsFromFiles(tlsDir);
    case 'dir':
      return tlsFromDir(tlsDir, tlsNames, log);
  }
}

/** Agents go there from other nodes, so it must be an address, and not one that means "any". */
function advertisedAddress({ advertiseAddress, ingestListen }: OperatorSettings): string {
  const address = advertiseAddress || ingestListen.host;
  if (isIP(address) !== 0 && address !== '0.0.0.0' && address !== '::') return address;
  throw new FinwaitError(
    'CONFIG_INVALID',
    `agents cannot be told to go to ${address}`,
    "give --advertise-address the pod's own address (status.podIP)",
  );
}
