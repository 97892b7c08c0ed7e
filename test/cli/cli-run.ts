/** Runs a command line inside this process, its output caught. */

import { PassThrough } from 'node:stream';
import { runCli } from '../../cli/main.ts';

export interface CliOutcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export async function cliRun(args: readonly string[], env: Record<string, string> = {}): Promise<CliOutcome> {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const code = await runCli(args, { stdout, stderr, env, columns: undefined, isTTY: false });
  return { code, stdout: written(stdout), stderr: written(stderr) };
}

/** All that was written, in however many parts. */
export function written(stream: PassThrough): string {
  let text = '';
  for (let part = stream.read(); part !== null; part = stream.read()) text += String(part);
  return text;
}
