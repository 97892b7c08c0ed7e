/** The engine in the loop that the agent's worker runs, on a TUN device: a batch in, timers, then out. */

import * as libc from '../daemon/kernel/libc.ts';
import type { Poller } from '../daemon/kernel/poller.ts';
import { createPoller } from '../daemon/kernel/poller.ts';
import { createStack } from '../daemon/tcp/stack.ts';
import type { EngineResult, StackEvent, TcpStack } from '../daemon/tcp/types.ts';
import { BATCH_PACKETS, SENT_UNDER_LOAD } from '../daemon/threads/engine-loop.ts';
import type { IpAddress } from '../daemon/wire/address.ts';
import { parseIpAddress } from '../daemon/wire/address.ts';
import { ENGINE } from './network.ts';

const MTU = 1500;
const IDLE_MS = 100;

export function nowUs(): number {
  return Math.round(performance.now() * 1000);
}

export function address(text: string): IpAddress {
  const parsed = parseIpAddress(text);
  if (!parsed.ok) throw new Error(`${text}: ${parsed.reason}`);
  return parsed.value;
}

/** @throws Error when the engine refuses the call */
export function granted<T>(result: EngineResult<T>): T {
  if (!result.ok) throw new Error(`the engine refuses: ${result.reason}`);
  return result.value;
}

export function newStack(maxConnections?: number): TcpStack {
  return createStack({
    addresses: [address(ENGINE)],
    mtu: MTU,
    segmentEvents: false,
    random: (length) => crypto.getRandomValues(new Uint8Array(length)),
    ...(maxConnections === undefined ? {} : { maxConnections }),
  });
}

export class EngineOnTun {
  readonly stack: TcpStack;
  readonly #fd: number;
  readonly #poller: Poller;
  readonly #packet = new Uint8Array(65_535);
  readonly #onEvent: (event: StackEvent) => void;
  /** Packets the kernel had no room for. */
  writesFailed = 0;

  constructor(fd: number, stack: TcpStack, onEvent: (event: StackEvent) => void) {
    this.stack = stack;
    this.#onEvent = onEvent;
    this.#fd = fd;
    this.#poller = createPoller(fd);
  }

  /** One turn; waits for a packet or the next deadline when nothing was to be done. */
  turn(): void {
    const { stack } = this;
    const read = this.#receive();
    stack.advance(nowUs());
    this.#tell();
    const sent = this.#send(read === BATCH_PACKETS ? SENT_UNDER_LOAD : Number.POSITIVE_INFINITY);
    this.#tell();
    if (read > 0 || sent > 0) return;
    this.#poller.wait(Math.min(IDLE_MS, (stack.nextDeadlineUs() - nowUs()) / 1000));
  }

  runUntil(done: () => boolean): void {
    while (!done()) this.turn();
  }

  #receive(): number {
    for (let taken = 0; taken < BATCH_PACKETS; taken += 1) {
      const length = libc.read(this.#fd, this.#packet);
      if (length <= 0) {
        if (length === 0 || length === -libc.EAGAIN || length === -libc.EINTR) return taken;
        throw new Error(`reading from the device: ${libc.errnoName(-length)}`);
      }
      this.stack.input(this.#packet.subarray(0, length), nowUs());
    }
    return BATCH_PACKETS;
  }

  #send(room: number): number {
    let sent = 0;
    for (; sent < room; sent += 1) {
      const packet = this.stack.next(nowUs());
      if (packet === undefined) break;
      if (libc.write(this.#fd, packet) < 0) this.writesFailed += 1;
    }
    return sent;
  }

  #tell(): void {
    for (const event of this.stack.events()) this.#onEvent(event);
  }
}
