/**
 * Network namespaces for tests, made with `ip`. The name holds the process that owns it, `fw-PID-LABEL-N`: one
 * whose owner is dead was left by a run that was killed, and the next that makes one takes it away.
 */

import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import type { Child, ChildOptions, Ran } from './child.ts';
import { runProgram, startFinwait, startProgram } from './child.ts';
import { isAlive } from './processes.ts';

export interface Netns extends AsyncDisposable {
  readonly name: string;
  /**
   * The command line that runs a program inside. `ip netns exec` is not used: it mounts a /sys of its own, which
   * hides the cgroups.
   */
  readonly enter: readonly string[];
  /** Runs a program to its end; fails when that is not exit code 0. */
  run(program: string, ...args: string[]): Promise<string>;
  try(program: string, ...args: string[]): Promise<Ran>;
  start(program: string, args: readonly string[], options?: ChildOptions): Child;
  /** Starts `finwait ARGS` inside. */
  finwait(args: readonly string[], options?: ChildOptions): Child;
}

const FOLDER = '/run/netns';
let made = 0;

/** Makes a namespace with its loopback up; it goes, with all processes in it, at the end of the scope. */
export async function makeNetns(label: string): Promise<Netns> {
  removeAbandoned();
  const name = `fw-${process.pid}-${label}-${++made}`;
  ip('netns', 'add', name);
  ip('-n', name, 'link', 'set', 'lo', 'up');
  const enter = ['nsenter', `--net=${FOLDER}/${name}`, '--'];
  const attempt = (program: string, ...args: string[]) => runProgram(program, args, { within: enter });
  return {
    name,
    enter,
    try: attempt,
    async run(program, ...args) {
      const { code, stdout, stderr } = await attempt(program, ...args);
      if (code !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${code}: ${stderr}${stdout}`);
      return stdout;
    },
    start: (program, args, options) => startProgram(program, args, { ...options, within: enter }),
    finwait: (args, options) => startFinwait(args, { ...options, within: enter }),
    async [Symbol.asyncDispose]() {
      remove(name);
    },
  };
}

/**
 * Joins two namespaces by a cable. Each end gets the first address of its list without a prefix length named:
 * `10.9.0.1/24`, `fd00:9::1/64`.
 */
export async function joinNetns(
  a: Netns,
  b: Netns,
  { device = 'eth0', addressesA = [] as readonly string[], addressesB = [] as readonly string[] } = {},
): Promise<void> {
  ip('link', 'add', device, 'netns', a.name, 'type', 'veth', 'peer', 'name', device, 'netns', b.name);
  for (const [ns, addresses] of [
    [a, addressesA],
    [b, addressesB],
  ] as const) {
    for (const address of addresses) {
      // Without nodad an IPv6 address is not usable for the second that duplicate detection takes.
      const flags = address.includes(':') ? ['nodad'] : [];
      ip('-n', ns.name, 'address', 'add', address, 'dev', device, ...flags);
    }
    ip('-n', ns.name, 'link', 'set', device, 'up');
  }
}

function removeAbandoned(): void {
  let names: string[];
  try {
    names = readdirSync(FOLDER);
  } catch {
    return; // No namespace has been made since boot.
  }
  for (const name of names) {
    const owner = /^fw-(\d+)-/.exec(name)?.[1];
    if (owner !== undefined && !isAlive(Number(owner))) remove(name);
  }
}

function remove(name: string): void {
  try {
    for (const pid of ip('netns', 'pids', name).split('\n').filter(Boolean)) killIfThere(Number(pid));
    ip('netns', 'delete', name);
  } catch (error) {
    // Two runs may find the same abandoned one.
    if (readdirSync(FOLDER).includes(name)) throw error;
  }
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It ended by itself just now.
  }
}

function ip(...args: string[]): string {
  return execFileSync('ip', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}
