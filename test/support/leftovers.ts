/**
 * What a run of finwait could leave on a machine, taken before and after: links, addresses, routes, rules,
 * nftables, settings of the kernel, runtime directories, and every process that carries the run's marker.
 */

import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import * as assert from 'uvu/assert';
import { isAlive } from './processes.ts';

/** Where `finwait up` of root keeps the private directory of each run. */
const RUNTIME_FOLDER = '/run/finwait';
const MARKER = 'FINWAIT_TEST_MARKER';
const SETTLE_MS = 20_000;
const LOOK_MS = 100;

export interface Watch {
  /** Goes into the environment of what is started, so that its descendants are found wherever they went. */
  readonly env: Readonly<Record<string, string>>;
  /** Fails, with what is there too much or too little, when the machine is not as it was after `settleMs`. */
  assertNothingLeft(settleMs?: number): Promise<void>;
  /** The running processes of this watch: `PID command line`. */
  processes(): string[];
}

/**
 * Notes the state of a network namespace (`enter` runs a program inside it; empty for this one) and of the machine.
 * @param only of the network's state, just the lines that match: for a namespace that others use too
 */
export function watchLeftovers(enter: readonly string[] = [], only = /(?:)/): Watch {
  const marker = randomUUID();
  const before = snapshot(enter, only);
  const processes = () => marked(`${MARKER}=${marker}`);
  return {
    env: { [MARKER]: marker },
    processes,
    async assertNothingLeft(settleMs = SETTLE_MS) {
      const deadlineMs = Date.now() + settleMs;
      for (;;) {
        const now = [...snapshot(enter, only), ...processes().map((line) => `process ${line}`)];
        const left = now.filter((line) => !before.includes(line)).map((line) => `left: ${line}`);
        const gone = before
          .filter((line) => !now.includes(line) && !line.startsWith('directory'))
          .map((line) => `gone: ${line}`);
        const difference = [...left, ...gone].join('\n');
        if (difference === '') return;
        if (Date.now() > deadlineMs) assert.unreachable(difference);
        await sleep(LOOK_MS);
      }
    },
  };
}

/** The state as lines that are the same when nothing has changed. */
function snapshot(enter: readonly string[], only: RegExp): string[] {
  const look = (what: string, program: string, ...args: string[]) => {
    const [first = program, ...rest] = [...enter, program, ...args];
    return execFileSync(first, rest, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line !== '' && only.test(line))
      .map((line) => `${what}: ${line}`);
  };
  return [
    // Flags and states of a link change by themselves, and so do lifetimes and counters.
    ...look('link', 'ip', '-br', 'link').map((line) => line.split(/\s+/).slice(0, 2).join(' ')),
    ...look('address', 'ip', '-br', 'address'),
    ...look('route', 'ip', '-4', 'route', 'show', 'table', 'all'),
    ...look('route', 'ip', '-6', 'route', 'show', 'table', 'all').map((line) =>
      line.replace(/ expires \d+sec/, ''),
    ),
    ...look('rule', 'ip', '-4', 'rule'),
    ...look('rule', 'ip', '-6', 'rule'),
    ...look('nftables', 'nft', '--stateless', 'list', 'ruleset'),
    ...look(
      'setting',
      'sh',
      '-c',
      'cd /proc/sys/net; grep -H . ipv4/ip_forward ipv6/conf/all/forwarding ipv4/conf/*/route_localnet ipv4/conf/*/rp_filter',
    ),
    ...look('socket', 'sh', '-c', "ss -Hltn | awk '{print $4}'"),
    ...abandonedDirectories(),
  ];
}

/**
 * Private directories of runs that have ended. Those of a run that lives are its own business, and other tests may
 * have one at the same time; one that they abandon is soon taken away by their next start.
 */
function abandonedDirectories(): string[] {
  try {
    return readdirSync(RUNTIME_FOLDER)
      .filter((name) => !isAlive(Number(/^up-(\d+)-/.exec(name)?.[1] ?? process.pid)))
      .map((name) => `directory: ${RUNTIME_FOLDER}/${name}`);
  } catch {
    return []; // Nobody runs and nothing is left.
  }
}

function marked(entry: string): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        const environment = readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0');
        if (!environment.includes(entry)) return [];
        return [`${pid} ${readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ').trim()}`];
      } catch {
        return []; // It ended while we looked.
      }
    });
}
