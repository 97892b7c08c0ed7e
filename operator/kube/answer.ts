/** Answers of the API server, read whole or line by line: never more than a bound, and failures are KubeError. */

import { KubeError } from './kube-error.ts';

/** Longer than any answer of the API server in this use: pages are bounded by `limit`. */
const MAX_ANSWER_BYTES = 64 << 20;
/** Of one object in a watch. etcd takes 1.5 MB; the API server may add an earlier form of it. */
const MAX_LINE_BYTES = 8 << 20;
const NEWLINE = 0x0a;

/** @param what the request in words, for the messages: `list pods` */
export async function readText(
  what: string,
  answer: AsyncIterable<Buffer>,
  signal?: AbortSignal,
): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of answer) {
      length += chunk.length;
      if (length > MAX_ANSWER_BYTES) throw new KubeError(0, 'Undecodable', `${what}: the answer is too long`);
      chunks.push(chunk);
    }
  } catch (error) {
    throw error instanceof KubeError ? error : noAnswer(what, error, signal);
  }
  return Buffer.concat(chunks).toString();
}

/** The lines of an answer as they come, without empty ones. Leaving the loop ends the connection. */
export async function* readLines(
  what: string,
  answer: AsyncIterable<Buffer>,
  maxBytes = MAX_LINE_BYTES,
): AsyncGenerator<string> {
  /** Of the line that has begun. */
  let parts: Buffer[] = [];
  let length = 0;
  const take = (part: Buffer): void => {
    length += part.length;
    if (length > maxBytes) throw new KubeError(0, 'Undecodable', `${what}: a line is too long`);
    if (part.length > 0) parts.push(part);
  };
  const line = (): string => {
    const text = Buffer.concat(parts).toString();
    parts = [];
    length = 0;
    return text;
  };
  try {
    for await (const chunk of answer) {
      let from = 0;
      for (let to = chunk.indexOf(NEWLINE); to >= 0; to = chunk.indexOf(NEWLINE, from)) {
        take(chunk.subarray(from, to));
        from = to + 1;
        if (length > 0) yield line();
      }
      take(chunk.subarray(from));
    }
    if (length > 0) yield line();
  } catch (error) {
    throw error instanceof KubeError ? error : noAnswer(what, error);
  }
}

/** @throws KubeError Undecodable */
export function parsed(what: string, text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value };
  } catch (error) {
    throw new KubeError(0, 'Undecodable', `${what}: the answer is not JSON`, { cause: error });
  }
  throw new KubeError(0, 'Undecodable', `${what}: the answer is no object`);
}

/** @param signal that may have ended the request: Node does not tell why it did */
export function noAnswer(what: string, cause: unknown, signal?: AbortSignal): KubeError {
  if (signal?.aborted === true && signal.reason?.name === 'TimeoutError') {
    return new KubeError(0, 'Timeout', `${what}: no answer in time`, { cause });
  }
  const message = cause instanceof Error ? cause.message : String(cause);
  return new KubeError(0, 'Unreachable', `${what}: ${message}`, { cause });
}
