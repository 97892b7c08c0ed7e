/**
 * Lets an outside conformance tool drive the engine: `node test/conformance/adapter.ts --socket PATH`. It makes
 * socket calls on one side and exchanges raw packets on the other, in virtual time; docs/conformance.md has the rest.
 */

import { parseArgs } from 'node:util';
import type { Profile } from '../../daemon/tcp/profile.ts';
import { PROFILES } from '../../daemon/tcp/profiles.ts';
import { startAdapter } from './server.ts';
import { removeStaleSocket } from './stale-socket.ts';

const USAGE = `node test/conformance/adapter.ts --socket PATH [--profile ${Object.keys(PROFILES).join('|')}]`;
const EXIT_USAGE = 2;
const EXIT_CANNOT = 3;

function settings(): { readonly socket: string; readonly profile: Profile['name'] } | undefined {
  try {
    const { values } = parseArgs({
      options: { socket: { type: 'string' }, profile: { type: 'string', default: 'finwait' } },
    });
    const { socket } = values;
    const profile = Object.values(PROFILES).find(({ name }) => name === values.profile)?.name;
    return socket === undefined || profile === undefined ? undefined : { socket, profile };
  } catch {
    return undefined;
  }
}

const given = settings();
if (given === undefined) {
  process.stderr.write(`usage: ${USAGE}\n`);
  process.exitCode = EXIT_USAGE;
} else {
  for (const path of [given.socket, `${given.socket}.control`]) await removeStaleSocket(path);
  try {
    const adapter = await startAdapter(given.socket, given.profile);
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => adapter.close());
    process.stdout.write('ready\n');
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n`);
    process.exit(EXIT_CANNOT);
  }
}
