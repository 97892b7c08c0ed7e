/** Runs a script against an adapter; what differs is told as a packet trace. */

import { parseIpAddress } from '../../daemon/wire/address.ts';
import { writeU32 } from '../../daemon/wire/bytes.ts';
import { encodeIcmpError } from '../../daemon/wire/icmp-encode.ts';
import { IPV4_HEADER_BYTES } from '../../daemon/wire/ipv4.ts';
import { IPV6_HEADER_BYTES } from '../../daemon/wire/ipv6.ts';
import type { AdapterClient } from './client.ts';
import { OP, type Reply } from './frames.ts';
import { inRole, type Role, type Script, type Statement } from './script.ts';
import { type CallContext, type Operation, operationOf, replyText } from './script-calls.ts';
import { type Ends, type Flow, packetOf, portsOf, segmentOf } from './segment-bytes.ts';
import { formatSegment, matches, parseSegment } from './segment-text.ts';

/** Near the end of the number space: every script crosses it. */
const IRS = 0xffff_ff00;
const ENGINE_PORT = 8080;
const PEER_PORT = 40_000;
const SECOND_US = 1_000_000;
/** An answer that takes longer, in real time, will not come. */
const ANSWER_MS = 10_000;
const ENDS = {
  4: { engine: '192.168.0.1', peer: '192.0.2.1' },
  6: { engine: 'fd3d:a0b:17d6::1', peer: '2001:db8::1' },
} as const;
/** What a script calls them, as each family writes them: type and code. */
const ICMP: Readonly<Record<string, Readonly<Record<4 | 6, readonly [number, number]>>>> = {
  'net-unreachable': { 4: [3, 0], 6: [1, 0] },
  'host-unreachable': { 4: [3, 1], 6: [1, 3] },
  'port-unreachable': { 4: [3, 3], 6: [1, 4] },
  'too-big': { 4: [3, 4], 6: [2, 0] },
  'time-exceeded': { 4: [11, 0], 6: [3, 0] },
  'parameter-problem': { 4: [12, 0], 6: [4, 0] },
};

/** A script did not go as it says. */
export class ScriptFailure extends Error {}

/** @param answerMs how long a call that should be answered may take, in real time. @throws ScriptFailure */
export async function runScript(
  client: AdapterClient,
  script: Script,
  role: Role | undefined,
  family: 4 | 6,
  answerMs = ANSWER_MS,
): Promise<void> {
  const run = new Run(client, family, answerMs);
  client.nowUs = 0;
  try {
    for (const statement of inRole(script, role)) {
      try {
        await run.step(statement);
      } catch (error) {
        const where = `${script.name}, line ${statement.line}: ${statement.text}`;
        throw new ScriptFailure([where, ...run.report(error as Error)].join('\n'));
      }
    }
    const extra = await run.extraPacket();
    if (extra !== undefined)
      throw new ScriptFailure([script.name, ...run.report(new Error(extra))].join('\n'));
  } finally {
    await client.call(OP.done);
  }
}

class Run {
  readonly #client: AdapterClient;
  readonly #ends: Ends;
  readonly #answerMs: number;
  readonly #flows = new Map<number, Flow>();
  readonly #waiting = new Map<string, { readonly operation: Operation; reply?: Reply }>();
  readonly #trace: string[] = [];
  #peerPort = PEER_PORT;
  #lastSent: Uint8Array | undefined;

  constructor(client: AdapterClient, family: 4 | 6, answerMs: number) {
    this.#client = client;
    this.#answerMs = answerMs;
    this.#ends = { engine: address(ENDS[family].engine), peer: address(ENDS[family].peer) };
  }

  async step(statement: Statement): Promise<void> {
    const { time, verb, rest } = statement;
    const atUs = timeUs(time, this.#client.nowUs);
    if (verb === '>') return await this.#expect(rest, atUs);
    this.#client.nowUs = atUs;
    // Control lines tell no time.
    if (time !== undefined) await this.#client.call(OP.sleep, [0]);
    switch (verb) {
      case '<':
        return await this.#inject(rest);
      case 'state':
        return await this.#expectStates(rest);
      case 'set':
      case 'drop': {
        const answer = await this.#client.control(`${verb} ${rest}`);
        return same(answer.join(' '), 'ok');
      }
      case 'peer':
        this.#peerPort = Number(rest);
        return undefined;
      case 'end':
        return undefined;
      case 'wait':
        return await this.#completed(rest);
      default:
        return await this.#call(verb, rest);
    }
  }

  /** Lines that say what went wrong, and what crossed the wire until then. */
  report(error: Error): string[] {
    return [
      `  ${error.message.replaceAll('\n', '\n  ')}`,
      '  trace:',
      ...this.#trace.map((line) => `    ${line}`),
    ];
  }

  /** A packet that the engine has sent by now and nobody expected. */
  async extraPacket(): Promise<string | undefined> {
    const reply = await this.#client.call(OP.nextPacket);
    if (reply.errno !== 0 || reply.timeUs > this.#client.nowUs) return undefined;
    return `expected nothing\ngot      ${this.#traced(reply)}`;
  }

  async #expect(text: string, atUs: number): Promise<void> {
    const expected = parseSegment(text);
    const reply = await this.#client.call(OP.nextPacket);
    const wanted = `expected ${seconds(atUs)} > ${formatSegment(expected)}`;
    if (reply.errno !== 0) throw new Error(`${wanted}\ngot      silence`);
    const got = this.#traced(reply);
    const ports = portsOf(reply.blob);
    const right =
      ports?.peer === this.#peerPort && matches(expected, segmentOf(reply.blob, this.#flow(this.#peerPort)));
    if (!right || reply.timeUs !== atUs) throw new Error(`${wanted}\ngot      ${got}`);
    this.#client.nowUs = atUs;
    this.#lastSent = reply.blob;
  }

  #traced(reply: Reply): string {
    const ports = portsOf(reply.blob);
    const segment = ports && formatSegment(segmentOf(reply.blob, this.#flow(ports.peer)));
    const line = `${seconds(reply.timeUs)} > ${segment ?? `${reply.blob.length} bytes that are no segment`}`;
    this.#trace.push(line);
    return line;
  }

  async #inject(text: string): Promise<void> {
    this.#trace.push(`${seconds(this.#client.nowUs)} < ${text}`);
    await this.#client.call(OP.inject, [], text.startsWith('icmp ') ? this.#icmp(text) : this.#segment(text));
  }

  #segment(text: string): Uint8Array {
    return packetOf(parseSegment(text), this.#flow(this.#peerPort), this.#ends);
  }

  /** `icmp KIND [mtu N] [seq N]`, about the last packet the engine sent, or one that begins at that number. */
  #icmp(text: string): Uint8Array {
    const kind = text.split(/\s+/)[1] ?? '';
    const field = (name: string) => new RegExp(`${name} (\\d+)`).exec(text)?.[1];
    const numbers = ICMP[kind]?.[this.#ends.peer.family];
    if (numbers === undefined) throw new Error(`there is no ICMP error ${kind}`);
    if (this.#lastSent === undefined) throw new Error('the engine has sent nothing yet');
    const quoted = this.#lastSent.slice();
    const first = field('seq');
    const { iss } = this.#flow(this.#peerPort);
    const seqAt = (this.#ends.peer.family === 4 ? IPV4_HEADER_BYTES : IPV6_HEADER_BYTES) + 4;
    if (first !== undefined) writeU32(quoted, seqAt, (iss + Number(first)) >>> 0);
    return encodeIcmpError(quoted, this.#ends.peer.bytes, ...numbers, Number(field('mtu') ?? 0));
  }

  /** The states of all connections, in any order; LISTEN is told only when it is asked for. */
  async #expectStates(text: string): Promise<void> {
    const wanted = text.split(/\s+/).filter((state) => state !== 'CLOSED');
    const lines = await this.#client.control('states');
    const states = lines.map((line) => line.split(' ').at(-1) ?? '');
    const told = states.filter((state) => state !== 'LISTEN' || wanted.includes('LISTEN'));
    same(told.toSorted().join(' '), wanted.toSorted().join(' '));
  }

  async #call(verb: string, rest: string): Promise<void> {
    const [call = '', expected] = rest.split(/\s+=\s+/);
    const operation = this.#operation(verb, call);
    const { reply } = await this.#client.begin(operation.op, operation.args, operation.blob);
    if (expected === 'waits') {
      const waiting: { operation: Operation; reply?: Reply } = { operation };
      this.#waiting.set(`${verb} ${call}`, waiting);
      const store = (late: Reply) => {
        waiting.reply = late;
      };
      // When the adapter hangs up, the next call tells.
      void reply.then(store, () => undefined);
      await this.#letAnswersCome();
      if (waiting.reply !== undefined) same(replyText(operation, waiting.reply), 'waits');
      return undefined;
    }
    const answer = await soon(reply, this.#answerMs);
    if (answer === undefined) throw new Error(`expected ${expected ?? 'success'}\ngot      waits`);
    const text = replyText(operation, answer);
    if (expected === undefined) same(answer.errno === 0 ? 'success' : text, 'success');
    else same(text, expected);
  }

  /** `wait CALL = ANSWER`: a call that waited has been answered by now. */
  async #completed(rest: string): Promise<void> {
    const [call = '', expected = ''] = rest.split(/\s+=\s+/);
    const waiting = this.#waiting.get(call);
    if (waiting === undefined) throw new Error(`${call} did not wait`);
    await this.#letAnswersCome();
    same(waiting.reply === undefined ? 'waits' : replyText(waiting.operation, waiting.reply), expected);
  }

  /** What was answered before the first of these calls is here when the second is answered. */
  async #letAnswersCome(): Promise<void> {
    for (let calls = 0; calls < 2; calls += 1) await this.#client.call(OP.sleep, [0]);
  }

  #operation(verb: string, call: string): Operation {
    const { enginePort } = this.#flow(this.#peerPort);
    const context: CallContext = { ...this.#ends, enginePort, peerPort: this.#peerPort };
    const words = call.split(/\s+/).filter((word) => word !== '');
    const operation = operationOf(verb, words, context);
    if (operation === undefined) throw new Error(`there is no statement ${verb}`);
    return operation;
  }

  #flow(peerPort: number): Flow {
    let flow = this.#flows.get(peerPort);
    if (flow === undefined) {
      flow = { peerPort, enginePort: ENGINE_PORT, iss: 0, irs: IRS, lastTsval: 0 };
      this.#flows.set(peerPort, flow);
    }
    return flow;
  }
}

/** What is answered at all is answered at once: only virtual time passes. Undefined when it is not. */
async function soon(reply: Promise<Reply>, answerMs: number): Promise<Reply | undefined> {
  const { promise, resolve } = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => resolve(undefined), answerMs);
  try {
    return await Promise.race([reply, promise]);
  } finally {
    clearTimeout(timer);
  }
}

function same(got: string, expected: string): void {
  if (got !== expected) throw new Error(`expected ${expected}\ngot      ${got}`);
}

function timeUs(time: Statement['time'], nowUs: number): number {
  if (time === undefined) return nowUs;
  return Math.round(time.seconds * SECOND_US) + (time.relative ? nowUs : 0);
}

function seconds(us: number): string {
  return (us / SECOND_US).toFixed(6);
}

function address(text: string): Ends['engine'] {
  const parsed = parseIpAddress(text);
  if (!parsed.ok) throw new Error(`${text} is no address`);
  return parsed.value;
}
