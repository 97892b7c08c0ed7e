/** Programs in pods that behave as some do: answer, leak connections, close first. */

import { BASE_IMAGE } from './images.ts';

export const DEMO_NAMESPACE = 'demo';
export const LEAKED = 25;

/** Port 80 answers and closes when the client does; 9000 closes at once. */
const BACKEND = `
const net = require('node:net');
net.createServer({ allowHalfOpen: true }, (s) => s.on('error', () => {}).on('data', () => s.write('here')).on('end', () => s.end())).listen(80);
net.createServer((s) => s.on('error', () => {}).end()).listen(9000);
`;

/** Leaves ${LEAKED} connections in CLOSE_WAIT that its peer has closed, and closes 40 others first, every five seconds. */
const SHOP = `
const net = require('node:net');
const host = 'backend.${DEMO_NAMESPACE}.svc.cluster.local';
const leaked = [];
function leak() {
  const s = net.connect({ host, port: 9000, allowHalfOpen: true });
  s.on('connect', () => leaked.push(s)).on('error', () => setTimeout(leak, 500)).resume();
}
for (let i = 0; i < ${LEAKED}; i++) leak();
function closeFirst() {
  for (let i = 0; i < 40; i++) net.connect({ host, port: 80 }).on('error', () => {}).on('connect', function () { this.end(); }).resume();
}
closeFirst();
setInterval(closeFirst, 5000);
`;

function podTemplate(name: string, source: string, port?: number): object {
  return {
    metadata: { labels: { app: name } },
    spec: {
      terminationGracePeriodSeconds: 1,
      containers: [
        {
          name,
          image: BASE_IMAGE,
          imagePullPolicy: 'Never',
          command: ['node', '-e', source],
          ...(port === undefined ? {} : { readinessProbe: { tcpSocket: { port }, periodSeconds: 1 } }),
        },
      ],
    },
  };
}

function workload(kind: string, name: string, source: string, port?: number): object {
  const template = podTemplate(name, source, port);
  return {
    apiVersion: 'apps/v1',
    kind,
    metadata: { name, namespace: DEMO_NAMESPACE },
    spec: { selector: { matchLabels: { app: name } }, template },
  };
}

/** A backend on each node behind one Service. */
export function backend(): object[] {
  return [
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: DEMO_NAMESPACE } },
    workload('DaemonSet', 'backend', BACKEND, 80),
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: 'backend', namespace: DEMO_NAMESPACE },
      spec: {
        selector: { app: 'backend' },
        ports: [
          { name: 'http', port: 80 },
          { name: 'hasty', port: 9000 },
        ],
      },
    },
  ];
}

export function shop(): object {
  return workload('Deployment', 'shop', SHOP);
}

/** A probe of the backend from every node, through the Service and at each endpoint. */
export function backendProbe(name: string, spec: object): object {
  const service = { name: 'backend' };
  return {
    apiVersion: 'finwait.io/v1alpha1',
    kind: 'HandshakeProbe',
    metadata: { name, namespace: DEMO_NAMESPACE },
    spec: {
      targets: [
        { name: 'service', service, port: 'http' },
        { name: 'pods', service: { ...service, via: 'Endpoints' }, port: 'http' },
      ],
      ...spec,
    },
  };
}
