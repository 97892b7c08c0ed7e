/** CoreDNS beside the control plane, reached through the Service `kube-dns` that has no selector. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { apply } from './control-plane.ts';
import { CLUSTER_DOMAIN, DNS_SERVICE_ADDRESS, HOST_ADDRESS, kubeconfigOf, RUN } from './layout.ts';
import { start } from './processes.ts';
import { programPath } from './programs.ts';

export async function startDns(): Promise<void> {
  const corefile = join(RUN, 'Corefile');
  const lines = [
    '.:53 {',
    `  bind ${HOST_ADDRESS}`,
    '  errors',
    `  kubernetes ${CLUSTER_DOMAIN} in-addr.arpa ip6.arpa {`,
    `    kubeconfig ${kubeconfigOf('coredns')} fw`,
    '    ttl 5',
    '  }',
    '  cache 5',
    '}',
    '',
  ];
  writeFileSync(corefile, lines.join('\n'));
  start('coredns', [programPath('coredns'), '-conf', corefile]);
  const ports = [
    { name: 'dns', port: 53, protocol: 'UDP' },
    { name: 'dns-tcp', port: 53, protocol: 'TCP' },
  ];
  const metadata = { name: 'kube-dns', namespace: 'kube-system' };
  await apply(
    { apiVersion: 'v1', kind: 'Service', metadata, spec: { clusterIP: DNS_SERVICE_ADDRESS, ports } },
    {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { ...metadata, labels: { 'kubernetes.io/service-name': 'kube-dns' } },
      addressType: 'IPv4',
      endpoints: [{ addresses: [HOST_ADDRESS] }],
      ports,
    },
  );
}
