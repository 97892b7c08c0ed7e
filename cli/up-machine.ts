/** What `finwait up` asks of the machine before it starts anything. */

import { createServer } from 'node:net';
import { FinwaitError } from '#base/errors.ts';
import { linkOf, namesIn, textOf } from './quiet-read.ts';

/** @throws FinwaitError UNSUPPORTED_PLATFORM anywhere but on Linux with the Node this package pins */
export function checkPlatform(platform: string, nodeVersion: string): void {
  if (platform !== 'linux') {
    throw new FinwaitError(
      'UNSUPPORTED_PLATFORM',
      `finwait reads the tables of a Linux kernel; this is ${platform}`,
      'run it on Linux',
    );
  }
  if (Number(nodeVersion.split('.')[0]) < 26) {
    throw new FinwaitError(
      'UNSUPPORTED_PLATFORM',
      `finwait runs on Node 26; this is Node ${nodeVersion}`,
      'start it with `npm start` or the `finwait` command, which use the Node that `npm ci` installs',
    );
  }
}

/**
 * Makes sure a port of 127.0.0.1 can be listened on.
 * @throws FinwaitError PORT_IN_USE with the process that holds it, LISTEN_FAILED
 */
export async function checkPortFree(port: number): Promise<void> {
  if (port === 0) return;
  const server = createServer();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  server.listen(port, '127.0.0.1', resolve);
  try {
    await promise;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'EADDRINUSE') throw portInUse(port);
    const hint = 'choose another port with --web-port (0 takes any free one)';
    throw new FinwaitError('LISTEN_FAILED', `127.0.0.1:${port} cannot be listened on: ${message}`, hint);
  } finally {
    server.close();
  }
}

function portInUse(port: number): FinwaitError {
  const holder = listenerOf(port);
  const who =
    holder === undefined ? 'another process' : `${holder.name}/${holder.pid} (${shown(holder.command)})`;
  const own = holder?.command.includes('operator --ingest-listen') === true;
  const hint = own
    ? `finwait runs already: its page is http://127.0.0.1:${port}/ (or start a second one with --web-port 0)`
    : 'choose another port with --web-port (0 takes any free one)';
  return new FinwaitError('PORT_IN_USE', `port ${port} of 127.0.0.1 is held by ${who}`, hint);
}

interface PortHolder {
  readonly pid: number;
  readonly name: string;
  readonly command: string;
}

const STATE_LISTEN = '0A';
const COMMAND_LENGTH = 80;

/** The process that listens on a port of 127.0.0.1 or of all addresses, when it can be seen: proc_net_tcp. */
function listenerOf(port: number): PortHolder | undefined {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const inodes = ['/proc/net/tcp', '/proc/net/tcp6'].flatMap((path) =>
    linesOf(path)
      .map((line) => line.trim().split(/\s+/))
      .filter((fields) => fields[1]?.endsWith(suffix) === true && fields[3] === STATE_LISTEN)
      .map((fields) => `socket:[${fields[9]}]`),
  );
  if (inodes.length === 0) return undefined;
  const pid = namesIn('/proc')
    .filter((name) => /^\d+$/.test(name))
    .find((name) =>
      namesIn(`/proc/${name}/fd`).some((fd) => inodes.includes(linkOf(`/proc/${name}/fd/${fd}`))),
    );
  if (pid === undefined) return undefined;
  const command = textOf(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim();
  // Node names its main thread, and so the process, `node-MainThread`.
  const name = textOf(`/proc/${pid}/comm`)
    .trim()
    .replace(/-MainThread$/, '');
  return { pid: Number(pid), name, command };
}

function shown(command: string): string {
  return command.length <= COMMAND_LENGTH ? command : `${command.slice(0, COMMAND_LENGTH)}...`;
}

function linesOf(path: string): string[] {
  return textOf(path).split('\n').slice(1);
}
