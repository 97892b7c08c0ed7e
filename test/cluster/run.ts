/** Runs the tools the cluster is made with (ip, nsenter, ctr, buildah ...) and says what they said when they fail. */

import { execFile, execFileSync } from 'node:child_process';
import { promisify } from 'node:util';

const execFileAsync = promisify(execFile);

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string;
  readonly timeoutMs?: number;
}

/** Runs a program to its end; answers its standard output. */
export async function run(command: readonly string[], options: RunOptions = {}): Promise<string> {
  const [program = '', ...args] = command;
  const running = execFileAsync(program, args, {
    env: { ...process.env, ...options.env },
    timeout: options.timeoutMs ?? 300_000,
    maxBuffer: 64 << 20,
  });
  // A program that does not read its input is not at fault.
  running.child.stdin?.on('error', () => {}).end(options.input ?? '');
  try {
    return (await running).stdout;
  } catch (error) {
    throw new Error(`${command.join(' ')}: ${outputOf(error)}`);
  }
}

/** Runs a program and does not care how it ends: for taking away what may not be there. */
export function attempt(...command: readonly string[]): string {
  const [program = '', ...args] = command;
  try {
    return execFileSync(program, args, {
      stdio: ['ignore', 'pipe', 'ignore'],
      encoding: 'utf8',
      timeout: 30_000,
    });
  } catch {
    return '';
  }
}

/** The command, run inside a network namespace. `ip netns exec` would hide /sys, and the cgroups with it. */
export function inNetns(netns: string, command: readonly string[]): string[] {
  return ['nsenter', `--net=/run/netns/${netns}`, ...command];
}

function outputOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { stderr = '', stdout = '' } = error as Error & { stderr?: string; stdout?: string };
  return stderr.trim() || stdout.trim() || error.message;
}
