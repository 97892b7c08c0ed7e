/** A client of the adapter: calls as promises, control lines, and the adapter as a child process. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, type Socket as Stream } from 'node:net';
import { join } from 'node:path';
import { decodeReply, encodeRequest, FrameReader, OP, type Reply } from './frames.ts';

const NOTHING = new Uint8Array(0);

/** One connection: one call at a time. */
class Line {
  readonly #stream: Stream;
  #answered: ((reply: Reply) => void) | undefined;
  #broken: ((error: Error) => void) | undefined;

  private constructor(stream: Stream) {
    this.#stream = stream;
    const reader = new FrameReader();
    stream.on('data', (chunk: Buffer) => {
      for (const frame of reader.push(chunk)) {
        const answered = this.#answered;
        this.#answered = undefined;
        if (frame !== undefined) answered?.(decodeReply(frame));
      }
    });
    stream.on('error', () => stream.destroy());
    stream.on('close', () => this.#broken?.(new Error('the adapter hung up')));
  }

  static async open(path: string): Promise<Line> {
    const stream = connect(path);
    await once(stream, 'connect');
    return new Line(stream);
  }

  get busy(): boolean {
    return this.#answered !== undefined;
  }

  ask(request: Uint8Array): Promise<Reply> {
    return new Promise((answered, broken) => {
      this.#answered = answered;
      this.#broken = broken;
      this.#stream.write(request);
    });
  }

  /** A call that still waits is never answered. */
  close(): void {
    this.#broken = undefined;
    this.#stream.destroy();
  }
}

export class AdapterClient {
  /** What the virtual clock is said to show at the next call. */
  nowUs = 0;
  readonly #path: string;
  readonly #lines: Line[] = [];

  constructor(path: string) {
    this.#path = path;
  }

  /** Makes a call at `nowUs`; settles when the adapter answers, which for a call that waits is later. */
  async call(op: number, args: readonly number[] = [], blob: Uint8Array = NOTHING): Promise<Reply> {
    return await (await this.begin(op, args, blob)).reply;
  }

  /** As `call`, but settles as soon as the adapter has the call. */
  async begin(
    op: number,
    args: readonly number[] = [],
    blob: Uint8Array = NOTHING,
  ): Promise<{ readonly reply: Promise<Reply> }> {
    const line = this.#lines.find((free) => !free.busy) ?? (await this.#newLine());
    const [a = 0, b = 0, c = 0, d = 0] = args;
    return { reply: line.ask(encodeRequest({ op, nowUs: this.nowUs, args: [a, b, c, d], blob })) };
  }

  /** Sends a line to PATH.control and answers the lines that come back. */
  async control(line: string): Promise<string[]> {
    const stream = connect(`${this.#path}.control`);
    stream.end(`${line}\n`);
    let text = '';
    for await (const chunk of stream.setEncoding('latin1')) text += chunk;
    return text.split('\n').filter((one) => one !== '');
  }

  close(): void {
    for (const line of this.#lines.splice(0)) line.close();
  }

  /** Connections are taken in their turn, so the adapter must know one before an order among several is kept. */
  async #newLine(): Promise<Line> {
    const line = await Line.open(this.#path);
    await line.ask(encodeRequest({ op: OP.sleep, nowUs: this.nowUs, args: [0, 0, 0, 0], blob: NOTHING }));
    this.#lines.push(line);
    return line;
  }
}

/** Starts the adapter and waits until it is ready. */
export async function startAdapterProcess(path: string, args: readonly string[] = []): Promise<ChildProcess> {
  const program = join(import.meta.dirname, 'adapter.ts');
  const child = spawn(process.execPath, [program, '--socket', path, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ready = new Promise<void>((resolve, reject) => {
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      if (text.includes('ready\n')) resolve();
    });
    child.once('exit', (code) => reject(new Error(`the adapter ended with ${code} before it was ready`)));
    child.once('error', reject);
  });
  await ready;
  return child;
}

/** Ends it and waits until it is gone. */
export async function endAdapterProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGTERM');
  await exited;
}
