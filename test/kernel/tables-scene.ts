/**
 * Started in a network namespace of its own: makes a socket in every state of TCP, for IPv4, IPv6 and IPv4 through
 * v4-mapped addresses, says `ready`, and keeps them until it is ended. What has to be lost on the way to get into
 * a state is dropped by nftables.
 */

import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import type { AddressInfo, Server, Socket } from 'node:net';
import { connect, createServer } from 'node:net';

const kept: (Socket | Server)[] = [];

/** How a family listens and is reached. */
const FAMILIES = [
  { bind: '127.0.0.1', target: '127.0.0.1' },
  { bind: '::1', target: '::1' },
  { bind: '::', target: '127.0.0.1' },
];

function nft(...rules: string[]): void {
  execFileSync('nft', ['-f', '-'], { input: rules.map((rule) => `${rule}\n`).join('') });
}

async function listen(host: string): Promise<{ port: number; accepted: Promise<Socket>; server: Server }> {
  const server = createServer({ allowHalfOpen: true });
  const accepted = once(server, 'connection').then(([socket]: Socket[]) => {
    if (socket === undefined) throw new Error('no socket');
    kept.push(socket.on('error', () => {}).resume());
    return socket;
  });
  await once(server.listen(0, host), 'listening');
  kept.push(server);
  return { port: (server.address() as AddressInfo).port, accepted, server };
}

function open(host: string, port: number): Socket {
  const socket = connect({ host, port, allowHalfOpen: true });
  kept.push(socket.on('error', () => {}).resume());
  return socket;
}

/** A connection with both its ends, and the port it was made to. */
async function pair({ bind, target }: { bind: string; target: string }) {
  const { port, accepted } = await listen(bind);
  const client = open(target, port);
  await once(client, 'connect');
  return { client, server: await accepted, port };
}

async function drop(match: string): Promise<void> {
  nft(`add rule inet scene drops ${match} drop`);
}

nft(
  'add table inet scene',
  'add chain inet scene drops { type filter hook prerouting priority -300; }',
  // Something that uses conntrack, and a service reached through NAT.
  'add chain inet scene tracked { type filter hook input priority 0; }',
  'add rule inet scene tracked ct state invalid counter',
  'add table ip scene_nat',
  'add chain ip scene_nat out { type nat hook output priority -100; }',
  'add rule ip scene_nat out ip daddr 10.96.0.10 tcp dport 80 dnat to 127.0.0.1:8080',
);

for (const family of FAMILIES) {
  // ESTABLISHED, at both ends
  await pair(family);

  // CLOSE-WAIT at the server's, FIN-WAIT-2 at the client's
  const half = await pair(family);
  half.client.end();
  await once(half.server, 'end');

  // TIME-WAIT at the client's
  const gone = await pair(family);
  gone.client.end();
  await once(gone.server, 'end');
  gone.server.end();
  await once(gone.client, 'close');

  // FIN-WAIT-1 at the client's: its FIN is lost
  const finLost = await pair(family);
  await drop(`tcp dport ${finLost.port} tcp flags & fin == fin`);
  finLost.client.end();

  // LAST-ACK at the server's: it answers the client's FIN with one that is lost
  const lastAck = await pair(family);
  await drop(`tcp sport ${lastAck.port} tcp flags & fin == fin`);
  lastAck.client.end();
  await once(lastAck.server, 'end');
  lastAck.server.end();

  // CLOSING at the server's: both FINs cross, and what the server sends is lost
  const closing = await pair(family);
  await drop(`tcp sport ${closing.port}`);
  closing.server.end();
  closing.client.end();
  await once(closing.server, 'end');

  // SYN-SENT: nothing comes of it
  const silent = await listen(family.bind);
  await drop(`tcp dport ${silent.port}`);
  open(family.target, silent.port);

  // SYN-RECEIVED: the SYN-ACK is lost
  const deaf = await listen(family.bind);
  await drop(`tcp sport ${deaf.port}`);
  open(family.target, deaf.port);
}

// A connection through NAT, with a mark
const service = createServer((socket) => kept.push(socket.on('error', () => {}).resume()));
await once(service.listen(8080, '127.0.0.1'), 'listening');
kept.push(service);
execFileSync('ip', ['address', 'add', '10.96.0.1/24', 'dev', 'lo']);
const throughNat = open('10.96.0.10', 80);
await once(throughNat, 'connect');
throughNat.write('hello');

process.stdout.write('ready\n');
