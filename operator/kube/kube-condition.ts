/** What a failing request to the API server means to the one who runs finwait. */

import type { Condition } from '#base/errors.ts';
import { KubeError } from './kube-error.ts';

/** @param what the request in words: `list pods` */
export function kubeCondition(what: string, error: unknown): Condition {
  const message = error instanceof Error ? error.message : String(error);
  if (!(error instanceof KubeError))
    return { code: 'KUBE_API_FAILED', message, hint: "the operator's log says more" };
  if (error.status === 403) {
    return {
      code: 'KUBE_API_FORBIDDEN',
      message,
      hint: `give the operator's ServiceAccount the right to ${what}: the chart does with rbac.create`,
    };
  }
  if (error.status === 401) {
    return {
      code: 'KUBE_API_FORBIDDEN',
      message,
      hint: 'the token of the service account is not accepted: see whether it is mounted, and whether the clocks agree',
    };
  }
  if (error.status === 404) {
    return {
      code: 'KUBE_API_FAILED',
      message,
      hint: `the API server does not know what to ${what}: install the custom resource definitions, with the chart's crds.install`,
    };
  }
  return {
    code: 'KUBE_API_FAILED',
    message,
    hint: 'see whether the API server is up and whether a NetworkPolicy lets the operator reach it; finwait tries again',
  };
}
