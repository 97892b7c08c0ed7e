/** The status of the DiagnosisPolicies: where each holds. */

import { nextCondition } from '../../api/v1alpha1/condition.ts';
import type { DiagnosisPolicySpec, DiagnosisPolicyStatus } from '../../api/v1alpha1/diagnosis-policy.ts';
import type { KubeClient } from '../../kube/client.ts';
import { DIAGNOSIS_POLICIES } from '../../kube/resource.ts';
import type { Policy } from './policy.ts';
import { policyForNamespace, policyOf } from './policy.ts';
import type { Write } from './round.ts';
import { FIELD_MANAGER } from './store.ts';

export interface StoredPolicy {
  readonly policy: Policy & { readonly name: string };
  readonly generation: number;
  readonly status: DiagnosisPolicyStatus | undefined;
}

export function storedPolicy(object: unknown): StoredPolicy {
  const { metadata, spec, status } = object as {
    metadata?: { name?: string; generation?: number };
    spec?: Partial<DiagnosisPolicySpec>;
    status?: DiagnosisPolicyStatus;
  };
  const name = metadata?.name ?? '';
  return { policy: { ...policyOf(name, spec ?? {}), name }, generation: metadata?.generation ?? 0, status };
}

/**
 * @param ordered policies from `inOrder`
 * @param namespaces the labels of each namespace
 */
export function policyWrites(
  client: Pick<KubeClient, 'apply'>,
  stored: Iterable<StoredPolicy>,
  ordered: readonly Policy[],
  namespaces: Iterable<Readonly<Record<string, string>>>,
  nowMs: number,
): Write[] {
  const held = new Map<string | undefined, number>();
  for (const labels of namespaces) {
    const { name } = policyForNamespace(ordered, labels);
    held.set(name, (held.get(name) ?? 0) + 1);
  }
  const writes: Write[] = [];
  for (const { policy, generation, status: before } of stored) {
    const { name } = policy;
    const accepted = nextCondition(
      before?.conditions,
      {
        type: 'Accepted',
        status: 'True',
        reason: 'InForce',
        message: 'the policy holds where no other of higher priority does',
        observedGeneration: generation,
      },
      nowMs,
    );
    const namespaces = held.get(name) ?? 0;
    const observed = before?.conditions?.find(({ type }) => type === 'Accepted')?.observedGeneration;
    if (observed === generation && before?.namespaces === namespaces) continue;
    const status: DiagnosisPolicyStatus = { namespaces, conditions: [accepted] };
    writes.push({
      what: `DiagnosisPolicy ${name}`,
      urgent: observed !== generation,
      async run() {
        const object = {
          apiVersion: 'finwait.io/v1alpha1',
          kind: 'DiagnosisPolicy',
          metadata: { name },
          status,
        };
        await client.apply(DIAGNOSIS_POLICIES, object, {
          fieldManager: FIELD_MANAGER,
          subresource: 'status',
        });
      },
    });
  }
  return writes;
}
