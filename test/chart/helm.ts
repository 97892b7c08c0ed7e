/** Helm on the chart of this checkout. */

import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { loadAllYaml } from '@kubernetes/client-node';
import { buildPrograms, programPath } from '../cluster/programs.ts';
import { run } from '../cluster/run.ts';

export const CHART = join(import.meta.dirname, '../../charts/finwait');

/** One file for each way to use the chart. */
export const CI_VALUES: readonly string[] = readdirSync(join(CHART, 'ci')).sort();

/** What a cluster with cert-manager and the Prometheus operator has. */
export const EXTRA_APIS = ['cert-manager.io/v1', 'monitoring.coreos.com/v1'];

export function valuesFile(name: string): string {
  return join(CHART, 'ci', name);
}

/** Runs helm; answers its output, or rejects with what it said. */
export async function helm(...args: readonly string[]): Promise<string> {
  await buildPrograms((line) => console.log(line));
  return run([programPath('helm'), ...args]);
}

/** Renders the chart as release `finwait` in namespace `finwait`. */
export function render(...args: readonly string[]): Promise<string> {
  const apis = EXTRA_APIS.flatMap((api) => ['--api-versions', api]);
  return helm('template', 'finwait', CHART, '--namespace', 'finwait', ...apis, ...args);
}

/** What the tests look at of an object. */
export interface Rendered {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly annotations?: Readonly<Record<string, string>> };
  // biome-ignore lint/suspicious/noExplicitAny: objects of every kind
  readonly [field: string]: any;
}

export async function objects(...args: readonly string[]): Promise<Rendered[]> {
  const loaded = loadAllYaml(await render(...args)).filter(Boolean);
  // The loader makes instances of classes; plain objects compare.
  return JSON.parse(JSON.stringify(loaded));
}
