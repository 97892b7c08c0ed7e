// Run by `helm test`: waits until the operator leads and the agent of every node has reported, and says what is missing.
import { readFileSync } from 'node:fs';
import process from 'node:process';

const { WEB, DAEMON_SET, KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = process.env;
const token = readFileSync('/var/run/secrets/kubernetes.io/serviceaccount/token', 'utf8');
const apiServer = `https://${host.includes(':') ? `[${host}]` : host}:${port}`;

async function json(url, headers = {}) {
  const response = await fetch(url, {
    headers: { connection: 'close', ...headers },
    signal: AbortSignal.timeout(5000),
  });
  if (!response.ok) throw new Error(`${url} answers ${response.status}: ${await response.text()}`);
  return response.json();
}

async function missing() {
  const { status } = await json(`${apiServer}/apis/apps/v1/namespaces/${DAEMON_SET}`, {
    authorization: `Bearer ${token}`,
  });
  const { nodes } = await json(`${WEB}/api/v1/overview`);
  const fresh = nodes
    .filter(({ lastReportMs }) => Date.now() - lastReportMs < 60_000)
    .map(({ name }) => name);
  if (fresh.length >= status.desiredNumberScheduled && fresh.length > 0) {
    console.log(`all ${fresh.length} agents report: ${fresh.sort().join(', ')}`);
    return undefined;
  }
  return `${fresh.length} of ${status.desiredNumberScheduled} agents report: ${fresh.sort().join(', ') || 'none'}`;
}

// Of several replicas only the one that leads knows the nodes; each try reaches any of them.
let last;
for (
  const end = Date.now() + 60_000;
  Date.now() < end;
  await new Promise((resolve) => setTimeout(resolve, 500))
) {
  last = await missing().catch((error) => String(error.cause ?? error));
  if (last === undefined) process.exit(0);
}
console.error(`${last}\nSee kubectl describe and kubectl logs of the agents and of the operator.`);
process.exit(1);
