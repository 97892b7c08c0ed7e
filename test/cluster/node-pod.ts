/**
 * A pod of the node's network, whose process is in a control group of version 2 that is named after the pod. The kubelet
 * sees to that where the machine has version 2 alone; where it has both, the pod's processes are moved into one made here.
 */

import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { until } from '../support/until.ts';
import { apply, kubectl } from './control-plane.ts';
import { DEMO_NAMESPACE } from './demo.ts';
import { BASE_IMAGE } from './images.ts';

/** Version 2 beside version 1. */
const HYBRID = '/sys/fs/cgroup/unified';
const OWN = join(HYBRID, 'fwnodepod');
const NAME = 'beacon';

/** The control group of a socket is the one in which it was made: it listens when it is told to. */
const BEACON = `
process.on('SIGUSR2', () => require('node:net').createServer().listen(Number(process.argv[1])));
setInterval(() => {}, 1000);
console.log('ready');
`;

export interface NodePod extends AsyncDisposable {
  readonly uid: string;
}

/** Starts one that listens on a port. */
export async function startNodePod(nodeName: string, port: number): Promise<NodePod> {
  const command = ['node', '-e', BEACON, String(port)];
  await apply({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: NAME, namespace: DEMO_NAMESPACE },
    spec: {
      nodeName,
      hostNetwork: true,
      terminationGracePeriodSeconds: 0,
      containers: [{ name: NAME, image: BASE_IMAGE, imagePullPolicy: 'Never', command }],
    },
  });
  const about = [`pod/${NAME}`, '--namespace', DEMO_NAMESPACE];
  await kubectl('wait', ...about, '--for=condition=Ready', '--timeout=180s');
  await until('a word of it', async () =>
    (await kubectl('logs', ...about)).includes('ready') ? true : undefined,
  );
  const uid = await kubectl('get', ...about, '-o', 'jsonpath={.metadata.uid}');
  const pid = await until('the process of the pod', () => processOf(uid));
  if (existsSync(HYBRID)) {
    const folder = join(OWN, `kubepods/pod${uid}`);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'cgroup.procs'), String(pid));
  }
  process.kill(pid, 'SIGUSR2');
  return {
    uid,
    async [Symbol.asyncDispose]() {
      await kubectl('delete', ...about, '--timeout=180s');
      for (const folder of [`kubepods/pod${uid}`, 'kubepods', '.']) {
        const path = join(OWN, folder);
        await until('an empty control group', () =>
          !existsSync(path) || isRemoved(path) ? true : undefined,
        );
      }
    },
  };
}

/** Not that of the pod's sandbox. */
function processOf(uid: string): number | undefined {
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const isOfPod = readFileSync(`/proc/${pid}/cgroup`, 'utf8').includes(`pod${uid}`);
      if (isOfPod && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('SIGUSR2')) return Number(pid);
    } catch {
      // It has just ended.
    }
  }
  return undefined;
}

function isRemoved(folder: string): boolean {
  try {
    rmdirSync(folder);
    return true;
  } catch {
    return false;
  }
}
