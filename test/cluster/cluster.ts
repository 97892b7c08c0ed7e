/**
 * `npm run cluster -- build|up|down|status`: a real Kubernetes of two nodes on this machine, for the tests and for trying
 * things by hand. Needs root, Go, and the Debian packages containerd, runc, containernetworking-plugins, nftables,
 * iproute2, buildah.
 */

import { mkdirSync } from 'node:fs';
import { makePki } from './certificates.ts';
import { noteForeignNamespaces, removeCluster } from './clean.ts';
import { kubectl, startControlPlane } from './control-plane.ts';
import { startDns } from './dns.ts';
import { baseArchive, importImage, pauseArchive } from './images.ts';
import { kubeconfigOf, LOGS, NODES, RUN } from './layout.ts';
import { makeNetwork } from './network.ts';
import { nodesReady, startContainerd, startKubelet } from './node.ts';
import { running } from './processes.ts';
import { buildPrograms, programPath } from './programs.ts';

/** Starts the cluster from nothing; what an earlier run left is taken away first. */
export async function clusterUp(say: (line: string) => void): Promise<void> {
  await buildPrograms(say);
  const pause = await pauseArchive();
  await removeCluster();
  const startedMs = Date.now();
  mkdirSync(RUN, { recursive: true, mode: 0o711 });
  noteForeignNamespaces();
  await makePki();
  await makeNetwork();
  const containerds = Promise.all(
    NODES.map(async (node) => {
      await startContainerd(node);
      await importImage(node, pause);
    }),
  );
  await Promise.all([startControlPlane(), containerds]);
  for (const node of NODES) startKubelet(node);
  await startDns();
  await nodesReady(NODES.length);
  say(`cluster ready in ${((Date.now() - startedMs) / 1000).toFixed(1)} s`);
}

export async function clusterStatus(): Promise<string> {
  const processes = running();
  if (processes.length === 0) return 'no cluster runs here\n';
  return `${processes.map(({ name, pid }) => `${name} ${pid}`).join('\n')}\n\n${await kubectl('get', 'nodes,pods', '-A', '-o', 'wide')}`;
}

async function main(command: string | undefined): Promise<number> {
  const say = (line: string) => console.log(line);
  switch (command) {
    case 'build':
      await buildPrograms(say);
      await pauseArchive();
      await baseArchive(say);
      return 0;
    case 'up':
      await clusterUp(say);
      say(`kubectl: ${programPath('kubectl')} --kubeconfig=${kubeconfigOf('admin')}`);
      say(`logs: ${LOGS}`);
      return 0;
    case 'down':
      await removeCluster();
      return 0;
    case 'status':
      process.stdout.write(await clusterStatus());
      return 0;
    default:
      console.error('usage: npm run cluster -- build|up|down|status');
      return 2;
  }
}

if (import.meta.main) process.exitCode = await main(process.argv[2]);
