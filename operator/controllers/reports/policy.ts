/** Which thresholds hold where: the policy of highest priority, else the first by name, else the defaults. */

import type { DiagnosisPolicySpec, LabelSelector } from '../../api/v1alpha1/diagnosis-policy.ts';
import { DEFAULT_POLICY, selects } from '../../api/v1alpha1/diagnosis-policy.ts';
import { durationOf } from '../../api/v1alpha1/duration.ts';

export interface Policy {
  /** Name of the DiagnosisPolicy; undefined for the defaults. */
  readonly name?: string;
  readonly priority: number;
  readonly selector: LabelSelector;
  readonly closeWait: {
    readonly reportCount: number;
    readonly reportAgeMs: number;
    readonly problemCount: number;
    readonly problemAgeMs: number;
  };
  readonly timeWait: { readonly reportCount: number; readonly noticeCount: number };
  readonly conntrack: { readonly problemPercent: number; readonly problemTimeToFullMs: number };
  readonly events: boolean;
}

/** The policy of a spec; what an older object leaves out is as in the defaults. */
export function policyOf(name: string | undefined, given: Partial<DiagnosisPolicySpec>): Policy {
  const closeWait = { ...DEFAULT_POLICY.closeWait, ...given.closeWait };
  const conntrack = { ...DEFAULT_POLICY.conntrack, ...given.conntrack };
  return {
    ...(name === undefined ? {} : { name }),
    priority: given.priority ?? DEFAULT_POLICY.priority,
    selector: given.namespaceSelector ?? {},
    closeWait: {
      reportCount: closeWait.reportCount,
      reportAgeMs: durationOf(closeWait.reportAge) ?? 0,
      problemCount: closeWait.problemCount,
      problemAgeMs: durationOf(closeWait.problemAge) ?? 0,
    },
    timeWait: { ...DEFAULT_POLICY.timeWait, ...given.timeWait },
    conntrack: {
      problemPercent: conntrack.problemPercent,
      problemTimeToFullMs: durationOf(conntrack.problemTimeToFull) ?? 0,
    },
    events: given.events ?? DEFAULT_POLICY.events,
  };
}

const DEFAULTS: Policy = policyOf(undefined, {});

/** Orders policies so that the first that selects a namespace is the one that holds there. */
export function inOrder(policies: Iterable<Policy>): Policy[] {
  return [...policies].sort((a, b) => b.priority - a.priority || ((a.name ?? '') < (b.name ?? '') ? -1 : 1));
}

/** @param ordered policies from `inOrder` */
export function policyForNamespace(
  ordered: readonly Policy[],
  labels: Readonly<Record<string, string>>,
): Policy {
  return ordered.find(({ selector }) => selects(selector, labels)) ?? DEFAULTS;
}

/** Nodes are in no namespace: only a policy for all namespaces speaks of them. */
export function policyForNodes(ordered: readonly Policy[]): Policy {
  return ordered.find(({ selector }) => isEmpty(selector)) ?? DEFAULTS;
}

function isEmpty({ matchLabels = {}, matchExpressions = [] }: LabelSelector): boolean {
  return Object.keys(matchLabels).length === 0 && matchExpressions.length === 0;
}
