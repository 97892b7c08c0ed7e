/**
 * A program that leaves its connections in CLOSE-WAIT and TIME-WAIT, as a pod's may: `pod-scene.ts CLOSE-WAITS
 * TIME-WAITS`. It says `ready`, and keeps what it has until it is ended.
 */

import { once } from 'node:events';
import type { AddressInfo, Socket } from 'node:net';
import { connect, createServer } from 'node:net';

const [closeWaits = 0, timeWaits = 0] = process.argv.slice(2).map(Number);
const kept: Socket[] = [];
const server = createServer({ allowHalfOpen: true }, (socket) => {
  kept.push(socket.on('error', () => {}).resume());
});
await once(server.listen(0, '127.0.0.1'), 'listening');
const { port } = server.address() as AddressInfo;

async function pair(): Promise<{ client: Socket; accepted: Socket }> {
  const connection = once(server, 'connection') as Promise<[Socket]>;
  const client = connect({ host: '127.0.0.1', port, allowHalfOpen: true });
  kept.push(client.on('error', () => {}).resume());
  const [accepted] = await connection;
  return { client, accepted };
}

for (let i = 0; i < closeWaits; i++) {
  const { client, accepted } = await pair();
  client.end();
  await once(accepted, 'end');
}
for (let i = 0; i < timeWaits; i++) {
  const { client, accepted } = await pair();
  client.end();
  await once(accepted, 'end');
  accepted.end();
  await once(client, 'close');
}
process.stdout.write(`ready ${port}\n`);
