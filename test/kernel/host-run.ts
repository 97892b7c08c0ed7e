/** Runs of the host part in processes of their own, in a network namespace, so that they can be killed. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { Condition } from '#base/errors.ts';
import type { DeviceState } from '../../daemon/kernel/host-guard.ts';
import type { HostTunConfig, Way } from '../../daemon/kernel/host-tun.ts';
import { ROOT } from '../support/child.ts';

export type Command =
  | { do: 'open'; config: HostTunConfig }
  | { do: 'way'; address: string }
  | { do: 'ping'; address: string }
  | { do: 'segment'; address: string; port: number; flags: number; seq: number; ack: number }
  | { do: 'conditions' }
  | { do: 'look' }
  | { do: 'dropped' }
  | { do: 'close' };

export type Answer = { value: unknown } | { error: Condition };

/** A packet that came out of the TUN device. */
export interface Packet {
  readonly source: string;
  readonly destination: string;
  /** `echo-reply`, or the TCP flags: `SYN ACK`. */
  readonly what: string;
  readonly seq?: number;
}

export interface OpenedRun {
  readonly device: string;
  readonly mtu: number;
  readonly engineV4: string;
  readonly engineV6?: string;
  readonly hostV4: string;
  readonly hostV6?: string;
}

export interface HostRun extends AsyncDisposable {
  readonly opened: OpenedRun;
  way(address: string): Promise<Way>;
  /** The answer to an echo request of the engine; undefined when none came in two seconds. */
  ping(address: string): Promise<Packet | undefined>;
  segment(to: {
    address: string;
    port: number;
    flags: number;
    seq: number;
    ack: number;
  }): Promise<Packet | undefined>;
  conditions(): Promise<Condition[]>;
  look(): Promise<DeviceState & { counters: Record<string, number> }>;
  dropped(): Promise<{ toEngine: number; fromEngine: number }>;
  /** Disposes of the host part and ends the process. */
  close(): Promise<void>;
  /** SIGKILL. */
  kill(): Promise<void>;
}

export const CONFIG: HostTunConfig = {
  device: 'finwait0',
  mtu: 1500,
  allowForwarding: false,
  footprint: false,
  stateDir: '/nonexistent/finwait-test',
};

/**
 * @param within a command line that runs the process, such as a namespace's `enter`
 * @throws what `openHostTun` threw, as a Condition
 */
export async function openRun(
  within: readonly string[],
  config: Partial<HostTunConfig> = {},
): Promise<HostRun> {
  const [program = '', ...args] = [...within, process.execPath, join(ROOT, 'test/kernel/host-child.ts')];
  const child = spawn(program, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const ended = once(child, 'exit');
  const ask = async (command: Command): Promise<unknown> => {
    const answered = Promise.race([
      once(child, 'message') as Promise<[Answer]>,
      ended.then(([code, signal]) => {
        throw new Error(`the run ended (${signal ?? code}) before it answered ${command.do}`);
      }),
    ]);
    child.send(command);
    const [answer] = await answered;
    if ('error' in answer) throw answer.error;
    return answer.value;
  };
  const end = async (signal: NodeJS.Signals) => {
    if (child.exitCode === null && child.signalCode === null) child.kill(signal);
    await ended;
  };
  let opened: OpenedRun;
  try {
    opened = (await ask({ do: 'open', config: { ...CONFIG, ...config } })) as OpenedRun;
  } catch (error) {
    await end('SIGKILL');
    throw error;
  }
  return {
    opened,
    way: async (address) => (await ask({ do: 'way', address })) as Way,
    ping: async (address) => (await ask({ do: 'ping', address })) as Packet | undefined,
    segment: async (to) => (await ask({ do: 'segment', ...to })) as Packet | undefined,
    conditions: async () => (await ask({ do: 'conditions' })) as Condition[],
    look: async () => (await ask({ do: 'look' })) as DeviceState & { counters: Record<string, number> },
    dropped: async () => (await ask({ do: 'dropped' })) as { toEngine: number; fromEngine: number },
    async close() {
      await ask({ do: 'close' });
      await ended;
    },
    kill: () => end('SIGKILL'),
    [Symbol.asyncDispose]: () => end('SIGKILL'),
  };
}
