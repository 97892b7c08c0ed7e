/** Opening and closing the operator's servers. */

import { once } from 'node:events';
import type { AddressInfo, Server } from 'node:net';
import { FinwaitError } from '#base/errors.ts';
import type { HostPort } from '#base/host-port.ts';
import { hostPortText } from '#base/host-port.ts';
import { noPortFree } from '#base/no-port-free.ts';
import type { Connections } from './connections.ts';

/** A server that listens, and how to end it. */
export interface Listening {
  readonly address: string;
  readonly port: number;
  /** Takes no more connections, lets requests end for `graceMs`, then cuts what is left. */
  close(graceMs: number): Promise<void>;
}

/** An HTTP server and the connections it holds. */
export interface BoundedServer {
  readonly server: Server & { closeIdleConnections(): void };
  readonly connections: Connections;
}

/**
 * Listens.
 * @param option the setting that chose the address, for the hint
 * @throws FinwaitError PORT_IN_USE, LISTEN_FAILED
 */
export async function listen(
  { server, connections }: BoundedServer,
  at: HostPort,
  option: string,
): Promise<Listening> {
  server.listen({ host: at.host, port: at.port });
  try {
    await once(server, 'listening');
  } catch (error) {
    throw listenError(error as NodeJS.ErrnoException, at, option);
  }
  const { address, port } = server.address() as AddressInfo;
  return {
    address,
    port,
    async close(graceMs) {
      const closed = once(server, 'close');
      server.close();
      server.closeIdleConnections();
      // A connection that was busy just now is idle a moment later, and close() does not look again.
      const again = setInterval(() => server.closeIdleConnections(), 50);
      const cut = setTimeout(() => connections.cutAll(), graceMs);
      await closed;
      clearInterval(again);
      clearTimeout(cut);
    },
  };
}

function listenError(error: NodeJS.ErrnoException, at: HostPort, option: string): FinwaitError {
  const where = hostPortText(at.host, at.port);
  if (error.code === 'EADDRINUSE' && at.port === 0) return noPortFree(at.host, error);
  if (error.code === 'EADDRINUSE') {
    return new FinwaitError(
      'PORT_IN_USE',
      `something else listens on ${where}`,
      `end the other program, or choose another port with --${option} (port 0 takes any free one)`,
      error,
    );
  }
  const hint =
    error.code === 'EACCES'
      ? `ports below 1024 need CAP_NET_BIND_SERVICE; choose another with --${option}`
      : `give --${option} an address of this machine`;
  return new FinwaitError('LISTEN_FAILED', `cannot listen on ${where}: ${error.message}`, hint, error);
}
