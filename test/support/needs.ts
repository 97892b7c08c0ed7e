/**
 * What some tests need of the machine, in one table: how to tell whether it is there, and how to get it.
 * A test whose need is not met is skipped aloud; with CI=true or FINWAIT_TEST_NO_SKIP=1 it fails instead.
 */

import { spawnSync } from 'node:child_process';
import { accessSync, closeSync, constants, existsSync, openSync, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { collectorPath } from '../../scripts/collector.ts';

interface NeedRow {
  /** The reason it is missing, or undefined when it is there. */
  readonly missing: () => string | undefined;
  /** What a person does about it. */
  readonly get: string;
}

export const NEEDS = {
  root: {
    missing: () => (process.getuid?.() === 0 ? undefined : 'not running as root'),
    get: 'run the tests as root (sudo npm test)',
  },
  tun: {
    missing: () => unopenable('/dev/net/tun'),
    get: 'modprobe tun; in a container pass --device /dev/net/tun',
  },
  netns: {
    missing: () => noProgram('ip') ?? noProgram('nsenter') ?? noNamespace(),
    get: 'run as root with CAP_SYS_ADMIN; apt-get install iproute2 util-linux',
  },
  'netfilter-conntrack': {
    missing: () =>
      existsSync('/proc/sys/net/netfilter/nf_conntrack_max') ? undefined : 'the kernel has no nf_conntrack',
    get: 'modprobe nf_conntrack',
  },
  'device-cgroup': {
    missing: () =>
      existsSync('/sys/fs/cgroup/devices/devices.list')
        ? undefined
        : 'there is no devices cgroup (version 1)',
    get: 'mount -t cgroup -o devices none /sys/fs/cgroup/devices',
  },
  nft: { missing: () => noProgram('nft'), get: 'apt-get install nftables' },
  'conntrack-tool': { missing: () => noProgram('conntrack'), get: 'apt-get install conntrack' },
  ss: { missing: () => noProgram('ss'), get: 'apt-get install iproute2' },
  setpriv: { missing: () => noProgram('setpriv'), get: 'apt-get install util-linux' },
  tmux: { missing: () => noProgram('tmux'), get: 'apt-get install tmux' },
  promtool: { missing: () => noProgram('promtool'), get: 'apt-get install prometheus' },
  collector: {
    missing: () =>
      existsSync(collectorPath()) ? undefined : 'the OpenTelemetry Collector is not built on this machine',
    get: 'npm run collector -- build (needs Go; one to two minutes, once)',
  },
  cluster: {
    missing: () =>
      ['containerd', 'runc', 'buildah', 'debootstrap', 'go', 'gcc'].map(noProgram).find(Boolean) ??
      (existsSync('/usr/lib/cni/bridge') ? undefined : 'no CNI plugins in /usr/lib/cni'),
    get: 'apt-get install containerd runc containernetworking-plugins buildah debootstrap gcc libc6-dev; install Go',
  },
  gcc: { missing: () => noProgram('gcc'), get: 'apt-get install gcc libc6-dev' },
  helm: { missing: () => noProgram('go'), get: 'install Go 1.25 or newer, which helm is built with' },
  chromium: { missing: () => noProgram('chromium'), get: 'apt-get install chromium' },
} as const satisfies Readonly<Record<string, NeedRow>>;

export type Need = keyof typeof NEEDS;

const found = new Map<Need, string | undefined>();

/** The reason a need is not met and the way to get it in one sentence, or undefined when it is met. */
export function unmet(need: Need): string | undefined {
  if (!found.has(need)) {
    const row: NeedRow = NEEDS[need];
    const reason = row.missing();
    found.set(need, reason === undefined ? undefined : `needs ${need}: ${reason} (${row.get})`);
  }
  return found.get(need);
}

/** Whether an unmet need is a failure rather than a skip. */
export function skippingAllowed(env: NodeJS.ProcessEnv = process.env): boolean {
  return env.CI !== 'true' && env.FINWAIT_TEST_NO_SKIP !== '1';
}

function noProgram(name: string): string | undefined {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/sbin'];
  const runs = folders.some((folder) => {
    try {
      accessSync(join(folder, name), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
  return runs ? undefined : `there is no program ${name}`;
}

function unopenable(path: string): string | undefined {
  try {
    closeSync(openSync(path, 'r+'));
    return undefined;
  } catch (error) {
    return `${path} cannot be opened (${(error as NodeJS.ErrnoException).code})`;
  }
}

function noNamespace(): string | undefined {
  const status = readFileSync('/proc/self/status', 'utf8');
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? '0'}`);
  const sysAdmin = 21n;
  if (((effective >> sysAdmin) & 1n) === 0n) return 'no CAP_SYS_ADMIN';
  const { status: code } = spawnSync('unshare', ['--net', 'true'], { stdio: 'ignore' });
  return code === 0 ? undefined : 'network namespaces cannot be made here';
}
