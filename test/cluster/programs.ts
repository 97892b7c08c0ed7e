/**
 * The programs of the test cluster, built from Go modules whose versions and checksums are in modules/. They are
 * built once into a cache outside the repository, named by their versions, and never when they are there.
 */

import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { CACHE } from './layout.ts';

interface Program {
  readonly name: string;
  readonly version: string;
  /** Folder below modules/. */
  readonly module: string;
  readonly package: string;
  /** About how long a cold build takes on two cores. */
  readonly minutes: number;
  readonly ldflags?: readonly string[];
}

export const KUBERNETES_VERSION = '1.35.4';

const [MAJOR, MINOR] = KUBERNETES_VERSION.split('.');
/** Without these the API server says that it is v0.0.0-master. */
const KUBERNETES_LDFLAGS = ['k8s.io/component-base/version', 'k8s.io/client-go/pkg/version'].flatMap(
  (path) => [
    `-X ${path}.gitVersion=v${KUBERNETES_VERSION}`,
    `-X ${path}.gitMajor=${MAJOR}`,
    `-X ${path}.gitMinor=${MINOR}`,
  ],
);

function kubernetes(name: string): Program {
  return {
    name,
    version: KUBERNETES_VERSION,
    module: 'kubernetes',
    package: `k8s.io/kubernetes/cmd/${name}`,
    minutes: 1,
    ldflags: KUBERNETES_LDFLAGS,
  };
}

const PROGRAMS = [
  kubernetes('kube-apiserver'),
  kubernetes('kube-controller-manager'),
  kubernetes('kube-scheduler'),
  kubernetes('kubelet'),
  kubernetes('kube-proxy'),
  kubernetes('kubectl'),
  { name: 'etcd', version: '3.6.5', module: 'etcd', package: 'go.etcd.io/etcd/server/v3', minutes: 1 },
  { name: 'helm', version: '4.3.1', module: 'helm', package: 'helm.sh/helm/v4/cmd/helm', minutes: 2 },
  {
    name: 'coredns',
    version: '1.14.7',
    module: 'coredns',
    package: 'github.com/coredns/coredns',
    minutes: 2,
  },
] as const satisfies readonly Program[];

export type ProgramName = (typeof PROGRAMS)[number]['name'];

function pathOf(program: Program): string {
  return join(CACHE, `${program.module}-${program.version}`, program.name);
}

/** The path of a built program. */
export function programPath(name: ProgramName): string {
  const program = PROGRAMS.find((candidate) => candidate.name === name);
  if (program === undefined) throw new Error(`no program ${name}`);
  return pathOf(program);
}

/** Builds what is not in the cache, one after the other, and says so. */
export async function buildPrograms(say: (line: string) => void): Promise<void> {
  const missing = PROGRAMS.filter((program) => !existsSync(pathOf(program)));
  if (missing.length === 0) return;
  const minutes = missing.reduce((sum, program) => sum + program.minutes, 0);
  say(`building ${missing.map(({ name }) => name).join(', ')} (once; up to ${minutes} minutes)`);
  for (const program of missing) {
    const startedMs = Date.now();
    await build(program);
    say(`built ${program.name} ${program.version} in ${Math.round((Date.now() - startedMs) / 1000)} s`);
  }
}

async function build(program: Program): Promise<void> {
  const path = pathOf(program);
  const fresh = `${path}.${process.pid}`;
  mkdirSync(join(path, '..'), { recursive: true });
  const ldflags = ['-s', '-w', ...(program.ldflags ?? [])].join(' ');
  const child = spawn('go', ['build', '-trimpath', '-ldflags', ldflags, '-o', fresh, program.package], {
    cwd: join(import.meta.dirname, 'modules', program.module),
    env: { ...process.env, CGO_ENABLED: '0' },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  const { promise, resolve, reject } = Promise.withResolvers<number | null>();
  child.once('error', reject).once('exit', resolve);
  const code = await promise;
  if (code !== 0) throw new Error(`go build of ${program.name} ended with ${code}`);
  renameSync(fresh, path);
}
