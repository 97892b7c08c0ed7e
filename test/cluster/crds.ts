/** The chart's CustomResourceDefinitions, as Helm renders them. */

import { join } from 'node:path';
import { ROOT, runProgram } from '../support/child.ts';
import { until } from '../support/until.ts';
import type { ApiServer } from './api-server.ts';
import { programPath } from './programs.ts';

const KINDS = ['handshakeprobe', 'tcpreport', 'nodetcpreport', 'diagnosispolicy'] as const;

/** All four, as one YAML text. */
export async function renderedCrds(): Promise<string> {
  const shown = KINDS.flatMap((kind) => ['--show-only', `templates/crds/${kind}.yaml`]);
  const { code, stdout, stderr } = await runProgram(programPath('helm'), [
    'template',
    'finwait',
    join(ROOT, 'charts/finwait'),
    ...shown,
  ]);
  if (code !== 0) throw new Error(`helm template: ${stderr}`);
  return stdout;
}

/** Installs them and waits until the API server serves them. */
export async function installCrds(server: ApiServer): Promise<void> {
  await server.apply(await renderedCrds());
  await until('the custom resources are served', async () => {
    const served = await server.kubectl('api-resources', '--api-group=finwait.io', '-o', 'name');
    return served.trim().split('\n').length === KINDS.length || undefined;
  });
}
