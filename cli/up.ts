import type { CliIo } from './io.ts';

/** `finwait up`: agent and operator of this machine, and the live view of what they find. */
export async function runUp(_args: readonly string[], _io: CliIo): Promise<number> {
  return 0;
}
