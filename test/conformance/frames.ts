/** The frames of the adapter's calls, both ways; all numbers little-endian. */

/** The calls by number. */
export const OP = {
  socket: 1,
  bind: 2,
  listen: 3,
  accept: 4,
  connect: 5,
  read: 6,
  write: 7,
  close: 8,
  shutdown: 9,
  getsockopt: 10,
  setsockopt: 11,
  fcntl: 12,
  ioctl: 13,
  poll: 14,
  inject: 15,
  nextPacket: 16,
  sleep: 17,
  done: 18,
} as const;

export interface Request {
  readonly op: number;
  readonly nowUs: number;
  readonly args: readonly [number, number, number, number];
  readonly blob: Uint8Array;
}

export interface Reply {
  readonly errno: number;
  readonly timeUs: number;
  readonly result: number;
  readonly blob: Uint8Array;
}

const LENGTH_BYTES = 4;
const REQUEST_BYTES = 4 + 8 + 4 * 8;
const REPLY_BYTES = 4 + 8 + 8;
/** A longer frame is passed over. */
const FRAME_BYTES_MAX = 16 * 1024 * 1024;

/** Cuts a stream of bytes into frames. What is too long arrives as `undefined`, in its place, and nothing of it is kept. */
export class FrameReader {
  #held = Buffer.alloc(0);
  #toSkip = 0;

  push(chunk: Uint8Array): (Uint8Array | undefined)[] {
    this.#held = Buffer.concat([this.#held, chunk]);
    const frames: (Uint8Array | undefined)[] = [];
    for (;;) {
      const skipped = Math.min(this.#toSkip, this.#held.length);
      this.#held = this.#held.subarray(skipped);
      this.#toSkip -= skipped;
      if (this.#toSkip > 0 || this.#held.length < LENGTH_BYTES) return frames;
      const length = this.#held.readUInt32LE(0);
      if (length > FRAME_BYTES_MAX) {
        frames.push(undefined);
        this.#toSkip = LENGTH_BYTES + length;
        continue;
      }
      if (this.#held.length < LENGTH_BYTES + length) return frames;
      frames.push(new Uint8Array(this.#held.subarray(LENGTH_BYTES, LENGTH_BYTES + length)));
      this.#held = this.#held.subarray(LENGTH_BYTES + length);
    }
  }
}

/** The request of a frame; undefined when it is too short or says a number that no clock or file has. */
export function decodeRequest(frame: Uint8Array): Request | undefined {
  if (frame.length < REQUEST_BYTES) return undefined;
  const view = viewOf(frame);
  const at = (offset: number) => Number(view.getBigInt64(offset, true));
  const [nowUs, ...args] = [at(4), at(12), at(20), at(28), at(36)] as const;
  if (![nowUs, ...args].every(Number.isSafeInteger)) return undefined;
  return { op: view.getUint32(0, true), nowUs, args, blob: frame.subarray(REQUEST_BYTES) };
}

export function encodeRequest({ op, nowUs, args, blob }: Request): Uint8Array {
  const frame = new Uint8Array(LENGTH_BYTES + REQUEST_BYTES + blob.length);
  const view = viewOf(frame);
  view.setUint32(0, REQUEST_BYTES + blob.length, true);
  view.setUint32(4, op, true);
  for (const [index, value] of [nowUs, ...args].entries())
    view.setBigInt64(8 + 8 * index, BigInt(value), true);
  frame.set(blob, LENGTH_BYTES + REQUEST_BYTES);
  return frame;
}

export function encodeReply({ errno, timeUs, result, blob }: Reply): Uint8Array {
  const frame = new Uint8Array(LENGTH_BYTES + REPLY_BYTES + blob.length);
  const view = viewOf(frame);
  view.setUint32(0, REPLY_BYTES + blob.length, true);
  view.setInt32(4, errno, true);
  view.setBigInt64(8, BigInt(timeUs), true);
  view.setBigInt64(16, BigInt(result), true);
  frame.set(blob, LENGTH_BYTES + REPLY_BYTES);
  return frame;
}

/** @throws RangeError for a frame that is too short: the adapter's fault */
export function decodeReply(frame: Uint8Array): Reply {
  const view = viewOf(frame);
  return {
    errno: view.getInt32(0, true),
    timeUs: Number(view.getBigInt64(4, true)),
    result: Number(view.getBigInt64(12, true)),
    blob: frame.subarray(REPLY_BYTES),
  };
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
