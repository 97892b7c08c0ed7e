/** The sockets of other network namespaces as the agent reads them. */

import { noNetlinkFaults } from '../../daemon/kernel/netlink-socket.ts';
import { CgroupPods } from '../../daemon/track/cgroup-pods.ts';
import { CounterSums } from '../../daemon/track/namespace-counters.ts';
import type { NamespaceSocketsOptions } from '../../daemon/track/namespace-sockets.ts';
import { NamespaceSockets } from '../../daemon/track/namespace-sockets.ts';
import { ProcessTable } from '../../daemon/track/processes.ts';
import { noSocketCounts } from '../../daemon/track/socket-counters.ts';

export function reader(options: Partial<NamespaceSocketsOptions> = {}): NamespaceSockets {
  return new NamespaceSockets({
    processes: new ProcessTable(),
    cgroups: new CgroupPods(),
    maxTracked: 100_000,
    ephemeralFrom: 32_768,
    faults: noNetlinkFaults(),
    counters: noSocketCounts(),
    sums: new CounterSums(),
    ...options,
  });
}
