/**
 * Listeners of this machine's own TCP that behave in the ways a probe tells apart; run inside a test's network
 * namespace. Prints `ready` once all listen.
 */

import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { writeSync } from 'node:fs';
import type { Socket } from 'node:net';
import { connect, createServer } from 'node:net';

/** Ports of the listeners, by behaviour. Between 18000 and 18999, which no system uses by itself. */
export const PEER_PORTS = {
  /** Closes when the other side has closed. */
  closes: 18_001,
  /** Reads the end and keeps its own side open. */
  keepsOpen: 18_002,
  /** Answers the end with a RST (SO_LINGER 0). */
  resets: 18_003,
  /** Says something before anybody asked. */
  speaksFirst: 18_004,
  /** Answers what it is sent, then goes on until the other side closes. */
  answers: 18_005,
  /** Answers what it is sent and closes at once. */
  answersAndCloses: 18_006,
  /** Closes when it is sent something, without an answer. */
  hangsUp: 18_007,
  /** Resets when it is sent something. */
  resetsOnRequest: 18_008,
  /** On ::1 alone. */
  onlyV6: 18_009,
  /** Nobody listens. */
  nobody: 18_010,
  /** Sends half a megabyte, then closes. */
  sendsMuch: 18_011,
  /**
   * Has room for nine connections (a backlog of 8) and never accepts one; six places are taken by connections of its
   * own. In a process of its own, because it blocks.
   */
  neverAccepts: 18_012,
} as const;

type Behaviour = (socket: Socket) => void;

const BEHAVIOURS: Readonly<Partial<Record<keyof typeof PEER_PORTS, Behaviour>>> = {
  closes: (socket) => socket.on('end', () => socket.end()).resume(),
  keepsOpen: (socket) => void socket.resume(),
  resets: (socket) => socket.on('end', () => socket.resetAndDestroy()).resume(),
  speaksFirst: (socket) => {
    socket.write('220 ready\r\n');
    socket.on('end', () => socket.end()).resume();
  },
  answers: (socket) => socket.on('data', (data) => socket.write(data)).on('end', () => socket.end()),
  answersAndCloses: (socket) => socket.on('data', () => socket.end('HTTP/1.0 200 OK\r\n\r\n')),
  hangsUp: (socket) => socket.on('data', () => socket.end()),
  resetsOnRequest: (socket) => socket.on('data', () => socket.resetAndDestroy()),
  onlyV6: (socket) => socket.on('end', () => socket.end()).resume(),
  sendsMuch: (socket) => socket.on('data', () => socket.end(Buffer.alloc(500_000, 'x'))),
};

if (import.meta.main) {
  if (process.argv[2] === 'never-accepts') {
    const server = createServer().listen(PEER_PORTS.neverAccepts, '127.0.0.1', 8);
    await once(server, 'listening');
    // From here on the event loop has no turn any more, in which it would accept.
    spawnSync(process.execPath, [import.meta.filename, 'connect'], { stdio: 'inherit' });
    writeSync(1, 'ready\n');
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  } else if (process.argv[2] === 'connect') {
    // They stay in the queue when this process has ended and they are closed.
    for (let n = 0; n < 6; n++) await once(connect(PEER_PORTS.neverAccepts, '127.0.0.1'), 'connect');
    process.exit();
  } else {
    for (const [name, behave] of Object.entries(BEHAVIOURS)) {
      const server = createServer({ allowHalfOpen: true }, (socket) => {
        socket.on('error', () => {});
        behave(socket);
      });
      const host = name === 'onlyV6' ? '::1' : '127.0.0.1';
      server.listen({ port: PEER_PORTS[name as keyof typeof PEER_PORTS], host, ipv6Only: true });
      await once(server, 'listening');
    }
    process.stdout.write('ready\n');
  }
}
