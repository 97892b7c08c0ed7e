/** What the NodeTCPReport says of connections that are being lost, by the kernel's counters of each network. Pure. */

import { LOSS_COUNTERS } from '#contract';
import type { NodeTcpReportStatus } from '../../api/v1alpha1/node-tcp-report.ts';
import { NODE_REPORT_LIMITS } from '../../api/v1alpha1/node-tcp-report.ts';
import type { NodeView } from '../../fleet/view.ts';

type Loss = NonNullable<NodeTcpReportStatus['losses']>[number];

/** @param podName `namespace/name` of a pod on this node; undefined for one that is not known */
export function lossesOf({ sockets }: NodeView, podName: (uid: string) => string | undefined): Loss[] {
  const losses: Loss[] = [];
  for (const { own, pod, inode, counters } of sockets?.namespaces ?? []) {
    const name = pod === undefined ? undefined : podName(pod);
    const network = own ? 'node' : (name ?? `netns ${inode}`);
    for (const counter of LOSS_COUNTERS) {
      const perMinute = Math.round((counters[counter]?.perSecond ?? 0) * 60);
      if (perMinute > 0) losses.push({ network, counter, perMinute });
    }
  }
  return losses.sort((a, b) => b.perMinute - a.perMinute).slice(0, NODE_REPORT_LIMITS.losses);
}
