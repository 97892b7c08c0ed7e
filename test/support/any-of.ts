/** A port in front of several, as a Service is: each connection goes to one that answers, chosen at random. */

import { once } from 'node:events';
import type { AddressInfo, Socket } from 'node:net';
import { connect, createServer } from 'node:net';

export interface AnyOf extends AsyncDisposable {
  readonly port: number;
  /** Connections stand and new ones are taken, but nothing passes any more. */
  stall(): void;
  /** Settles with the first connection. */
  readonly reached: Promise<void>;
}

/** @param at the port to listen on; 0 for any */
export async function startAnyOf(ports: readonly number[], at = 0): Promise<AnyOf> {
  const sockets = new Set<Socket>();
  const track = (socket: Socket): Socket => {
    sockets.add(socket);
    return socket.on('error', () => {}).once('close', () => sockets.delete(socket));
  };
  let stalled = false;
  const { promise: reached, resolve: tellReached } = Promise.withResolvers<void>();
  const server = createServer(async (client) => {
    track(client);
    tellReached();
    if (stalled) return;
    for (const port of ports.toSorted(() => Math.random() - 0.5)) {
      const upstream = track(connect({ port, host: '127.0.0.1' }));
      const reached = await once(upstream, 'connect').then(Boolean, () => false);
      if (!reached) continue;
      client.once('close', () => upstream.destroy());
      upstream.once('close', () => client.destroy());
      client.pipe(upstream).pipe(client);
      return;
    }
    client.destroy();
  });
  await once(server.listen(at, '127.0.0.1'), 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    reached,
    stall() {
      stalled = true;
      for (const socket of sockets) socket.unpipe().pause();
    },
    async [Symbol.asyncDispose]() {
      server.close();
      for (const socket of sockets) socket.destroy();
      await once(server, 'close');
    },
  };
}
