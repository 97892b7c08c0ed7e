/** The adapter's two unix sockets: calls at PATH, settings and states at PATH.control. */

import { once } from 'node:events';
import { createServer, type Server, type Socket as Stream } from 'node:net';
import type { Profile } from '../../daemon/tcp/profile.ts';
import { call, failed, LEAP_MAX_US, type Outcome } from './calls.ts';
import { obey } from './control.ts';
import { decodeRequest, encodeReply, FrameReader, OP, type Request } from './frames.ts';
import { World } from './world.ts';

/** A longer line of settings means nothing. */
const LINE_MAX = 4096;
/** Who asks for more than that on one connection of settings is hung up on. */
const ANSWERS_MAX = 16 * 1024 * 1024;

export interface Adapter {
  /** Stops listening and hangs up. */
  close(): Promise<void>;
}

/** Serves one client, which may hold several connections. Rejects when the paths cannot be listened at. */
export async function startAdapter(path: string, profile: Profile['name']): Promise<Adapter> {
  const scripts = new Scripts(profile);
  const streams = new Set<Stream>();
  const servers = [
    createServer((stream) => scripts.serve(kept(stream, streams))),
    createServer({ allowHalfOpen: true }, (stream) => control(kept(stream, streams), scripts)),
  ];
  await Promise.all([listen(servers[0], path), listen(servers[1], `${path}.control`)]);
  return {
    async close() {
      for (const stream of streams) stream.destroy();
      await Promise.all(servers.map((server) => new Promise((closed) => server.close(closed))));
    },
  };
}

async function listen(server: Server | undefined, path: string): Promise<void> {
  server?.listen(path);
  if (server !== undefined) await once(server, 'listening');
}

/** A client that breaks off is no error of ours. */
function kept(stream: Stream, streams: Set<Stream>): Stream {
  streams.add(stream);
  stream.on('error', () => stream.destroy());
  stream.on('close', () => streams.delete(stream));
  return stream;
}

/** One script after another, each in a world of its own. */
class Scripts {
  world: World;
  readonly #profile: Profile['name'];
  readonly #clients = new Set<Stream>();
  /** Something has happened in this world. */
  #used = false;

  constructor(profile: Profile['name']) {
    this.#profile = profile;
    this.world = new World(profile);
  }

  serve(stream: Stream): void {
    const reader = new FrameReader();
    /** Waits of this connection: with it, they are gone. */
    const withdraw = new Set<() => void>();
    this.#clients.add(stream);
    stream.on('drain', () => stream.resume());
    stream.on('data', (chunk: Buffer) => {
      for (const frame of reader.push(chunk)) {
        const request = frame === undefined ? undefined : decodeRequest(frame);
        if (request === undefined) this.#reply(stream, this.world, failed('EINVAL'));
        else this.#carryOutOrFail(stream, request, withdraw);
      }
    });
    stream.on('close', () => {
      for (const forget of withdraw) forget();
      this.#clients.delete(stream);
      // Who went away without a word leaves nothing behind.
      if (this.#clients.size === 0 && this.#used) this.#begin();
    });
  }

  /** Carries a line of settings out, and answers the lines that answer it. */
  obey(line: string): string[] {
    try {
      return obey(this.world, line);
    } catch (error) {
      this.#fail(line, error);
      return ['failed'];
    }
  }

  /** A fault of the engine ends the script that found it, not those to come. */
  #fail(what: string, error: unknown): void {
    process.stderr.write(`${what}: ${error instanceof Error ? error.stack : error}\n`);
    this.#begin();
  }

  #carryOutOrFail(stream: Stream, request: Request, withdraw: Set<() => void>): void {
    const { world } = this;
    try {
      this.#carryOut(stream, request, withdraw);
    } catch (error) {
      this.#fail(`operation ${request.op}`, error);
      this.#reply(stream, world, failed('EIO'));
    }
  }

  #carryOut(stream: Stream, request: Request, withdraw: Set<() => void>): void {
    const { world } = this;
    const leaps = request.nowUs - world.nowUs > LEAP_MAX_US;
    if (leaps && Number.isFinite(world.stack.nextDeadlineUs())) {
      return this.#reply(stream, world, failed('EINVAL'));
    }
    world.advanceTo(request.nowUs);
    if (request.op === OP.done) {
      this.#begin();
      return this.#reply(stream, world, { errno: 0, result: 0, blob: new Uint8Array(0) });
    }
    this.#used = true;
    const called = call(world, request);
    const outcome = 'attempt' in called ? called.attempt() : called;
    if (outcome !== undefined) this.#reply(stream, world, outcome);
    else if ('attempt' in called) {
      const waiter = {
        deadlineUs: called.deadlineUs,
        attempt: () => {
          const late = called.attempt();
          if (late !== undefined) answered(late);
          return late !== undefined;
        },
        abandon: () => answered(failed('EBADF')),
      };
      const forget = () => world.waiters.delete(waiter);
      const answered = (late: Outcome) => {
        withdraw.delete(forget);
        this.#reply(stream, world, late);
      };
      withdraw.add(forget);
      world.waiters.add(waiter);
    }
    world.settle();
  }

  /** Who does not read answers is not asked for more calls. */
  #reply(stream: Stream, world: World, { errno, result, blob, timeUs = world.nowUs }: Outcome): void {
    if (stream.writable && !stream.write(encodeReply({ errno, timeUs, result, blob }))) stream.pause();
  }

  /** Forgets everything: what still waits will never complete. */
  #begin(): void {
    const { waiters } = this.world;
    this.world = new World(this.#profile);
    this.#used = false;
    for (const waiter of [...waiters]) waiter.abandon();
  }
}

/** Lines in, lines out; the end of the answer is the end of the stream. */
function control(stream: Stream, scripts: Scripts): void {
  let text = '';
  /** What comes up to the end of the line is the rest of one that is too long. */
  let tooLong = false;
  let answered = 0;
  stream.setEncoding('latin1');
  stream.on('data', (chunk) => {
    const lines = `${text}${chunk}`.split('\n');
    text = lines.pop() ?? '';
    if (tooLong && lines.length > 0) {
      lines.shift();
      tooLong = false;
    }
    if (!tooLong && text.length > LINE_MAX) {
      lines.push(text);
      tooLong = true;
    }
    if (tooLong) text = '';
    if (lines.length > 0) answer(lines);
  });
  stream.on('end', () => answer(text === '' ? [] : [text]));

  function answer(lines: readonly string[]): void {
    for (const line of lines) {
      const out = scripts.obey(line).map((one) => `${one}\n`);
      // A line that comes after the answer has ended is obeyed all the same.
      if (stream.writable) stream.write(out.join(''));
      answered += out.reduce((sum, one) => sum + one.length, 0);
      if (answered > ANSWERS_MAX) return void stream.destroy();
    }
    if (stream.writable) stream.end();
  }
}
