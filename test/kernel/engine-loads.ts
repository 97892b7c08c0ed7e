/**
 * Many connections, and much data, between the engine and the kernel's TCP (node:net). Played by engine-child.ts.
 * Whoever opens, the engine asks: its request names the way in which the connection is to end.
 */

import { createHash, type Hash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import type { EngineDriver, Life } from './engine-driver.ts';

export interface Stage {
  readonly driver: EngineDriver;
  /** The engine's address, and the host's on the device. */
  readonly engine: string;
  readonly host: string;
}

/** Of one role and one family; with both of each it is four times as many. */
const CONNECTIONS = 2500;
const AT_ONCE = 50;
const PORT = 7100;
const BULK = 100 << 20;
/** What is sent in the direction that stays open. */
const LATE = randomBytes(5000);
/** How it ends (a byte), how much text follows (two). */
const HEADER_BYTES = 3;

const WAYS = [
  'engine closes first',
  'kernel closes first',
  'both close',
  'engine half-closes',
  'kernel half-closes',
  'engine resets',
  'kernel resets',
] as const;
type Way = (typeof WAYS)[number];

/** How the engine's end of a connection may be when it is over. */
const ENDS: Readonly<Record<Way, readonly string[]>> = {
  'engine closes first': ['TIME-WAIT'],
  'kernel closes first': ['closed'],
  'both close': ['TIME-WAIT', 'closed'],
  'engine half-closes': ['TIME-WAIT'],
  'kernel half-closes': ['closed'],
  'engine resets': ['aborted'],
  'kernel resets': ['reset'],
};

/** How the kernel's must be. */
const KERNEL_ENDS: Readonly<Record<Way, string>> = {
  'engine closes first': 'end',
  'kernel closes first': 'end',
  'both close': 'end',
  'engine half-closes': 'end',
  'kernel half-closes': 'end, late text whole',
  'engine resets': 'ECONNRESET',
  'kernel resets': 'reset',
};

export const LOADS = {
  async 'thousands of connections that the engine opens, closed in each order'({ driver, host }: Stage) {
    const kernel = new KernelEnd();
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => kernel.take(socket));
    const port = await listen(server, host);
    const engine = new EngineEnd(driver, kernel);
    await atOnce((n) => engine.play(driver.connect(host, port), n));
    server.close();
    return engine.seen();
  },

  async 'thousands of connections that the kernel opens, closed in each order'({
    driver,
    engine: to,
  }: Stage) {
    const kernel = new KernelEnd();
    const engine = new EngineEnd(driver, kernel);
    driver.stack.listen({ port: PORT }, 2 * AT_ONCE);
    await atOnce(async (n) => {
      const socket = connect({ host: to, port: PORT, allowHalfOpen: true, noDelay: true });
      kernel.take(socket);
      let life = driver.accepted.shift();
      // Another one that waited may have been first.
      for (; life === undefined; life = driver.accepted.shift())
        await driver.until(() => driver.accepted.length > 0);
      await engine.play(life, n);
    });
    return engine.seen();
  },

  async 'a hundred megabytes each way at once, opened by the engine'({ driver, host }: Stage) {
    const server = createServer({ allowHalfOpen: true });
    const port = await listen(server, host);
    const life = driver.connect(host, port);
    const [socket] = (await once(server, 'connection')) as [Socket];
    server.close();
    return bulk(driver, life, socket);
  },

  async 'a hundred megabytes each way at once, opened by the kernel'({ driver, engine }: Stage) {
    driver.stack.listen({ port: PORT }, 8);
    const socket = connect({ host: engine, port: PORT, allowHalfOpen: true });
    await driver.until(() => driver.accepted.length === 1);
    return bulk(driver, driver.accepted[0] as Life, socket);
  },
} as const;

/** What each load must show: everything as it should be. */
const ALL = {
  played: CONNECTIONS,
  wrong: [],
  kernel: CONNECTIONS,
  // Those that wait out TIME-WAIT are the only ones left.
  left: ['TIME-WAIT'],
};
const WHOLE = { there: true, back: true, ended: 'closed' };
export const LOADS_EXPECTED: Readonly<Record<keyof typeof LOADS, object>> = {
  'thousands of connections that the engine opens, closed in each order': ALL,
  'thousands of connections that the kernel opens, closed in each order': ALL,
  'a hundred megabytes each way at once, opened by the engine': WHOLE,
  'a hundred megabytes each way at once, opened by the kernel': WHOLE,
};

/** Plays `CONNECTIONS` of them, so many at a time. */
async function atOnce(play: (n: number) => Promise<void>): Promise<void> {
  let next = 0;
  const one = async () => {
    for (let n = next++; n < CONNECTIONS; n = next++) await play(n);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, one));
}

async function listen(server: Server, host: string): Promise<number> {
  server.listen(0, host);
  await once(server, 'listening');
  const bound = server.address();
  if (bound === null || typeof bound === 'string') throw new Error('the server has no port');
  return bound.port;
}

class EngineEnd {
  readonly #driver: EngineDriver;
  readonly #kernel: KernelEnd;
  readonly #wrong: string[] = [];
  #played = 0;

  constructor(driver: EngineDriver, kernel: KernelEnd) {
    this.#driver = driver;
    this.#kernel = kernel;
  }

  /** The engine's part of one connection, to its end. */
  async play(life: Life, n: number): Promise<void> {
    const driver = this.#driver;
    const way = WAYS[n % WAYS.length] as Way;
    const until = (done: () => boolean) => driver.until(() => done() || life.ended !== undefined);
    await until(() => life.states.includes('ESTABLISHED'));
    const request = requestOf(n);
    driver.send(life, request);
    if (way === 'engine half-closes') {
      driver.shutdown(life);
      await until(() => life.eof);
      this.#expect(life, n, Buffer.concat([request, LATE]));
    } else if (way === 'kernel resets') {
      await until(() => false);
    } else {
      await until(() => bytesOf(life) >= request.length && (life.eof || way !== 'kernel closes first'));
      this.#expect(life, n, request);
      if (way === 'kernel half-closes') {
        await until(() => life.eof);
        driver.send(life, LATE);
        await until(() => driver.isDrained(life));
      }
      if (way === 'engine resets') driver.abort(life);
      else driver.shutdown(life);
    }
    await until(() => life.states.includes('TIME-WAIT'));
    const end = life.ended ?? life.states.at(-1) ?? '';
    if (!ENDS[way].includes(end)) this.#wrong.push(`${n}, ${way}: ${end}, ${life.states.join(' ')}`);
    this.#played += 1;
    life.received.length = 0;
  }

  async seen() {
    await this.#driver.until(() => this.#kernel.over === this.#kernel.taken);
    const left = new Set<string | undefined>();
    for (const id of this.#driver.stack.connections()) left.add(this.#driver.stack.info(id)?.state);
    const wrong = [...this.#wrong, ...this.#kernel.wrong].slice(0, 10);
    return { played: this.#played, wrong, kernel: this.#kernel.taken, left: [...left] };
  }

  #expect(life: Life, n: number, text: Buffer): void {
    if (!text.equals(Buffer.concat(life.received)))
      this.#wrong.push(`${n}: ${bytesOf(life)} bytes came back`);
  }
}

/** The kernel's part: the text comes back, and the connection ends as its first byte says. */
class KernelEnd {
  readonly wrong: string[] = [];
  taken = 0;
  over = 0;

  take(socket: Socket): void {
    const chunks: Buffer[] = [];
    let way: Way | undefined;
    let bytes = 0;
    let end = '';
    this.taken += 1;
    socket.on('error', (error: NodeJS.ErrnoException) => {
      end = error.code ?? 'error';
    });
    socket.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      bytes += chunk.length;
      if (way !== undefined) return;
      const text = Buffer.concat(chunks);
      if (text.length < HEADER_BYTES || text.length < HEADER_BYTES + text.readUInt16BE(1)) return;
      way = WAYS[text[0] as number] as Way;
      if (way === 'kernel resets') {
        end = 'reset';
        socket.resetAndDestroy();
      } else socket.write(text);
      if (way === 'kernel closes first' || way === 'both close' || way === 'kernel half-closes') socket.end();
      bytes = 0;
      chunks.length = 0;
    });
    socket.on('end', () => {
      end = 'end';
      if (way === 'kernel half-closes' && Buffer.concat(chunks).equals(LATE)) end = 'end, late text whole';
      if (way === 'engine half-closes') socket.end(LATE);
      else socket.end();
    });
    socket.on('close', () => {
      if (way === undefined || end !== KERNEL_ENDS[way])
        this.wrong.push(`kernel, ${way}: ${end}, ${bytes} bytes`);
      this.over += 1;
    });
  }
}

/** Header, and text of a length of its own. */
function requestOf(n: number): Buffer {
  const text = randomBytes(1 + ((n * 37) % 4000));
  const header = Buffer.alloc(HEADER_BYTES);
  header[0] = n % WAYS.length;
  header.writeUInt16BE(text.length, 1);
  return Buffer.concat([header, text]);
}

function bytesOf(life: Life): number {
  return life.received.reduce((sum, { length }) => sum + length, 0);
}

/** Both send as much as they can at the same time, and close; what arrives is known by its digest. */
async function bulk(driver: EngineDriver, life: Life, socket: Socket) {
  const data = randomBytes(BULK);
  const sent = digest(createHash('sha256').update(data));
  const [toKernel, toEngine] = [createHash('sha256'), createHash('sha256')];
  driver.onData = (_, chunk) => toEngine.update(chunk);
  socket.on('data', (chunk: Buffer) => toKernel.update(chunk));
  const ended = once(socket, 'end');
  await driver.until(() => life.states.includes('ESTABLISHED'));
  driver.send(life, data);
  socket.end(data);
  await driver.until(() => life.eof && driver.isDrained(life));
  driver.shutdown(life);
  await ended;
  await driver.until(() => life.ended !== undefined);
  return { there: digest(toKernel) === sent, back: digest(toEngine) === sent, ended: life.ended };
}

function digest(hash: Hash): string {
  return hash.digest('hex');
}
