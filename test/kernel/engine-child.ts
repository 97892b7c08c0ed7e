/**
 * Scenes between the engine and the kernel's TCP, in the network namespace this process was started in. It opens
 * the device, plays the scenes it is told by IPC, each with a new engine, and answers what was seen.
 */

import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { openHostTun } from '../../daemon/kernel/host-tun.ts';
import { EngineDriver, type Life } from './engine-driver.ts';
import { LOADS, type Stage } from './engine-loads.ts';

const MEGABYTE = Uint8Array.from({ length: 1 << 20 }, (_, i) => (i * 31 + (i >> 8)) & 0xff);
const ENGINE_PORT = 7000;

export type Family = 'v4' | 'v6';

/** What a scene says of itself; compared with what it must be. */
export type Seen = Readonly<Record<string, unknown>>;

export const SCENES = {
  async 'active open, a megabyte there and back, engine closes first'({ driver, host }: Stage) {
    await using server = await kernelServer(host, (socket) => socket.pipe(socket));
    const life = driver.connect(host, server.port);
    await driver.until(() => life.states.includes('ESTABLISHED'));
    driver.send(life, MEGABYTE);
    await driver.until(() => bytesOf(life) === MEGABYTE.length);
    driver.shutdown(life);
    await driver.until(() => life.states.includes('TIME-WAIT'));
    return { states: closing(life), eof: life.eof, whole: isMegabyte(life.received), ...agreed(life) };
  },

  async 'active open, kernel closes first'({ driver, host }: Stage) {
    await using server = await kernelServer(host, (socket) => socket.end(MEGABYTE));
    const life = driver.connect(host, server.port);
    await driver.until(() => life.eof);
    driver.shutdown(life);
    await driver.until(() => life.ended !== undefined);
    return { states: life.states, whole: isMegabyte(life.received), ended: life.ended };
  },

  async 'passive open, a megabyte there and back, kernel closes first'({ driver, engine }: Stage) {
    driver.stack.listen({ port: ENGINE_PORT }, 8);
    const socket = connect({ host: engine, port: ENGINE_PORT, allowHalfOpen: true });
    const received = collect(socket);
    await driver.until(() => driver.accepted.length === 1);
    const life = driver.accepted[0] as Life;
    socket.end(MEGABYTE);
    await driver.until(() => life.eof);
    driver.send(life, Buffer.concat(life.received));
    await driver.until(() => driver.isDrained(life));
    driver.shutdown(life);
    await driver.until(() => life.ended !== undefined);
    return {
      states: life.states,
      there: isMegabyte(life.received),
      back: isMegabyte([await received]),
      ended: life.ended,
      ...agreed(life),
    };
  },

  async 'passive open, engine closes first'({ driver, engine }: Stage) {
    driver.stack.listen({ port: ENGINE_PORT }, 8);
    const socket = connect({ host: engine, port: ENGINE_PORT });
    const received = collect(socket);
    await driver.until(() => driver.accepted.length === 1);
    const life = driver.accepted[0] as Life;
    driver.send(life, MEGABYTE);
    await driver.until(() => driver.isDrained(life));
    driver.shutdown(life);
    await driver.until(() => life.states.includes('TIME-WAIT'));
    return { states: closing(life), whole: isMegabyte([await received]) };
  },

  async 'engine half-closes and goes on receiving'({ driver, host }: Stage) {
    await using server = await kernelServer(host, (socket) => {
      socket.resume().on('end', () => socket.end(MEGABYTE));
    });
    const life = driver.connect(host, server.port);
    await driver.until(() => life.states.includes('ESTABLISHED'));
    driver.shutdown(life);
    await driver.until(() => life.states.includes('TIME-WAIT'));
    return { states: life.states, whole: isMegabyte(life.received), eof: life.eof };
  },

  async 'kernel half-closes and goes on receiving'({ driver, host }: Stage) {
    const received: Promise<Buffer>[] = [];
    await using server = await kernelServer(host, (socket) => {
      received.push(collect(socket));
      socket.end();
    });
    const life = driver.connect(host, server.port);
    await driver.until(() => life.states.includes('CLOSE-WAIT'));
    driver.send(life, MEGABYTE);
    await driver.until(() => driver.isDrained(life));
    driver.shutdown(life);
    await driver.until(() => life.ended !== undefined);
    return { states: life.states, whole: isMegabyte(await Promise.all(received)), ended: life.ended };
  },

  async 'engine aborts'({ driver, host }: Stage) {
    const failed = Promise.withResolvers<string>();
    await using server = await kernelServer(host, (socket) => {
      socket.removeAllListeners('error');
      socket.on('error', (error: NodeJS.ErrnoException) => failed.resolve(error.code ?? ''));
    });
    const life = driver.connect(host, server.port);
    await driver.until(() => life.states.includes('ESTABLISHED') && server.sockets.size === 1);
    driver.abort(life);
    await driver.until(() => life.ended !== undefined);
    return { ended: life.ended, kernel: await failed.promise };
  },

  async 'engine closes with unread data'({ driver, host }: Stage) {
    const failed = Promise.withResolvers<string>();
    await using server = await kernelServer(host, (socket) => {
      socket.removeAllListeners('error');
      socket.on('error', (error: NodeJS.ErrnoException) => failed.resolve(error.code ?? ''));
      socket.write('nobody reads this');
    });
    driver.reading = false;
    const life = driver.connect(host, server.port);
    await driver.until(() => (driver.stack.info(life.id)?.unreadBytes ?? 0) > 0);
    driver.close(life);
    await driver.until(() => life.ended !== undefined);
    return { ended: life.ended, kernel: await failed.promise };
  },

  async 'kernel aborts'({ driver, host }: Stage) {
    await using server = await kernelServer(host, (socket) => socket.resetAndDestroy());
    const life = driver.connect(host, server.port);
    await driver.until(() => life.ended !== undefined);
    return { states: life.states, ended: life.ended };
  },

  async 'kernel has nobody on the port'({ driver, host }: Stage) {
    const server = await kernelServer(host, () => {});
    await server[Symbol.asyncDispose]();
    const life = driver.connect(host, server.port);
    await driver.until(() => life.ended !== undefined);
    return { states: life.states, ended: life.ended };
  },

  async 'engine has nobody on the port'({ engine }: Stage) {
    const [error] = await once(connect({ host: engine, port: ENGINE_PORT }), 'error');
    return { kernel: (error as NodeJS.ErrnoException).code };
  },

  async 'engine fills the kernel until its window is shut'({ driver, host }: Stage) {
    const peers: Socket[] = [];
    await using server = await kernelServer(host, (socket) => {
      peers.push(socket);
      socket.pause();
    });
    const life = driver.connect(host, server.port);
    await driver.until(() => life.states.includes('ESTABLISHED') && peers.length === 1);
    const much = Buffer.concat(Array.from({ length: 16 }, () => MEGABYTE));
    driver.send(life, much);
    await driver.until(() => driver.stack.info(life.id)?.sndWnd === 0);
    const received = collect(peers[0] as Socket);
    peers[0]?.resume();
    await driver.until(() => driver.isDrained(life));
    driver.shutdown(life);
    return { whole: much.equals(await received) };
  },

  async 'kernel fills the engine until its window is shut'({ driver, host }: Stage) {
    const much = Buffer.concat(Array.from({ length: 16 }, () => MEGABYTE));
    await using server = await kernelServer(host, (socket) => socket.end(much));
    driver.reading = false;
    const life = driver.connect(host, server.port);
    await driver.until(() => driver.stack.info(life.id)?.rcvWnd === 0);
    driver.reading = true;
    driver.read(life);
    await driver.until(() => life.eof);
    return { whole: much.equals(Buffer.concat(life.received)) };
  },

  async 'a hundred connections, one after the other'({ driver, host }: Stage) {
    await using server = await kernelServer(host, (socket) => socket.pipe(socket));
    let opened = 0;
    for (let i = 0; i < 100; i += 1) {
      const life = driver.connect(host, server.port);
      driver.send(life, Buffer.from(`number ${i}`));
      await driver.until(() => bytesOf(life) > 0);
      driver.shutdown(life);
      await driver.until(() => life.states.includes('TIME-WAIT'));
      opened += 1;
    }
    return { opened, retransmitted: driver.stack.counters.retransmittedSegments };
  },
} as const;

export type SceneName = keyof typeof SCENES;
const ALL = { ...SCENES, ...LOADS };

if (import.meta.main) {
  const tun = openHostTun({
    device: 'finwait0',
    mtu: 1500,
    allowForwarding: false,
    footprint: false,
    stateDir: `/run/finwait-test-${process.pid}`,
  });
  process.once('disconnect', () => {
    tun[Symbol.dispose]();
    process.exit();
  });
  process.on('message', async ({ scene, family }: { scene: keyof typeof ALL; family: Family }) => {
    const { engineV4, hostV4, engineV6, hostV6 } = tun;
    const [engine, host] = family === 'v4' ? [engineV4, hostV4] : [engineV6, hostV6];
    if (engine === undefined || host === undefined) throw new Error('this machine has no IPv6');
    using driver = new EngineDriver(tun);
    process.send?.(await ALL[scene]({ driver, engine, host }));
  });
}

interface KernelServer extends AsyncDisposable {
  readonly port: number;
  readonly sockets: ReadonlySet<Socket>;
}

async function kernelServer(host: string, onSocket: (socket: Socket) => unknown): Promise<KernelServer> {
  const sockets = new Set<Socket>();
  const server: Server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    onSocket(socket);
  });
  server.listen(0, host);
  await once(server, 'listening');
  const bound = server.address();
  if (bound === null || typeof bound === 'string') throw new Error('the server has no port');
  return {
    port: bound.port,
    sockets,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

async function collect(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  await once(socket, 'end');
  return Buffer.concat(chunks);
}

/** The states without FIN-WAIT-2, which is skipped when the peer's FIN comes with its acknowledgement of ours. */
function closing(life: Life): readonly string[] {
  return life.states.filter((state) => state !== 'FIN-WAIT-2');
}

function bytesOf(life: Life): number {
  return life.received.reduce((sum, { length }) => sum + length, 0);
}

function isMegabyte(chunks: readonly Uint8Array[]): boolean {
  return Buffer.concat(chunks).equals(MEGABYTE);
}

function agreed({ info }: Life): Seen {
  return {
    timestamps: info?.timestampsEnabled,
    sack: info?.sackPermitted,
    scaled: info?.sndWindShift !== undefined,
  };
}
