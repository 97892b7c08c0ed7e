/** TCP ports that nobody listens on at the moment. */

import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';

/** As many different free ports as asked for, of one address. Another process may take one right after. */
export async function freePorts(count: number, host = '127.0.0.1'): Promise<number[]> {
  // All are held before the first is let go, so that no port comes twice.
  const servers = Array.from({ length: count }, () => createServer());
  const ports: number[] = [];
  for (const server of servers) {
    await once(server.listen(0, host), 'listening');
    ports.push((server.address() as AddressInfo).port);
  }
  await Promise.all(servers.map((server) => once(server.close(), 'close')));
  return ports;
}
