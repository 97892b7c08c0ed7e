/**
 * A program that listens through the kernel's own TCP: `tcp-server.ts BEHAVIOUR ADDRESS:PORT...`, prints a line
 * with the ports when all are open. Behaviours: `close` answers a close with a close, `hold` never closes its side
 * (its sockets stay in CLOSE-WAIT), `echo` sends back what it gets.
 */

import { once } from 'node:events';
import type { AddressInfo, Socket } from 'node:net';
import { createServer } from 'node:net';

const BEHAVIOURS: Readonly<Record<string, (socket: Socket) => void>> = {
  close: (socket) => socket.on('end', () => socket.end()).resume(),
  hold: (socket) => socket.resume(),
  echo: (socket) => socket.pipe(socket),
};

const [behaviour = '', ...places] = process.argv.slice(2);
const ports = await Promise.all(
  places.map(async (place) => {
    const colon = place.lastIndexOf(':');
    const host = place.slice(0, colon).replace(/^\[|\]$/g, '');
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on('error', () => {});
      BEHAVIOURS[behaviour]?.(socket);
    });
    await once(server.listen(Number(place.slice(colon + 1)), host), 'listening');
    return (server.address() as AddressInfo).port;
  }),
);
process.stdout.write(`listening ${ports.join(' ')}\n`);
