/** DiagnosisPolicy: from when on finwait tells, from when on it calls something a problem. The schema is in the chart. */

import type { StatusCondition } from './condition.ts';

export interface LabelSelector {
  readonly matchLabels?: Readonly<Record<string, string>>;
  readonly matchExpressions?: readonly {
    readonly key: string;
    readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist';
    readonly values?: readonly string[];
  }[];
}

export interface DiagnosisPolicySpec {
  readonly priority: number;
  readonly namespaceSelector: LabelSelector;
  readonly closeWait: {
    readonly reportCount: number;
    /** Duration, as every `...Age` and `...ToFull` here. */
    readonly reportAge: string;
    readonly problemCount: number;
    readonly problemAge: string;
  };
  readonly timeWait: { readonly reportCount: number; readonly noticeCount: number };
  readonly conntrack: { readonly problemPercent: number; readonly problemTimeToFull: string };
  readonly events: boolean;
}

export interface DiagnosisPolicyStatus {
  readonly namespaces?: number;
  readonly conditions?: readonly StatusCondition[];
}

/** What the schema fills in, and what holds where there is no policy. */
export const DEFAULT_POLICY: DiagnosisPolicySpec = {
  priority: 0,
  namespaceSelector: {},
  closeWait: { reportCount: 1, reportAge: '30s', problemCount: 100, problemAge: '10m' },
  timeWait: { reportCount: 100, noticeCount: 20_000 },
  conntrack: { problemPercent: 75, problemTimeToFull: '15m' },
  events: true,
};

/** Whether an object with these labels is selected; an empty selector selects all. */
export function selects(selector: LabelSelector, labels: Readonly<Record<string, string>>): boolean {
  for (const [key, value] of Object.entries(selector.matchLabels ?? {})) {
    if (labels[key] !== value) return false;
  }
  for (const { key, operator, values = [] } of selector.matchExpressions ?? []) {
    const label = labels[key];
    const listed = label !== undefined && values.includes(label);
    if (operator === 'In' && !listed) return false;
    if (operator === 'NotIn' && listed) return false;
    if (operator === 'Exists' && label === undefined) return false;
    if (operator === 'DoesNotExist' && label !== undefined) return false;
  }
  return true;
}
