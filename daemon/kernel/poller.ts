/**
 * Waits for a file descriptor or for a word from another thread, whichever comes first. A thread that waits here
 * hears nothing else (no messages, no `terminate`), so another one wakes it through the eventfd.
 * Linux: ppoll(2), eventfd(2)
 */

import { FinwaitError } from '#base/errors.ts';
import * as libc from './libc.ts';

const POLLFD_BYTES = 8;
const ONE = new Uint8Array(new BigUint64Array([1n]).buffer);

export interface Poller extends Disposable {
  /**
   * Blocks the thread until a descriptor can be read (or has failed: then the read says why), somebody woke the poller, or
   * the time is over. Allocates nothing.
   * @param timeoutMs may have a fraction; the kernel waits by nanoseconds. Negative is 0, Infinity waits for ever
   * @returns whether `fd` is to be read
   */
  wait(timeoutMs: number): boolean;
  /** The eventfd. Its number is good in every thread of this process: see `wakePoller`. */
  readonly wakeFd: number;
  wake(): void;
  /** Closes the eventfd, not `fd`. */
  close(): void;
}

/** @param also further descriptors that end a wait when they can be read */
export function createPoller(fd: number, also: readonly number[] = []): Poller {
  const wakeFd = libc.eventfd();
  if (wakeFd < 0) {
    const limit = 'raise the limit of open files (ulimit -n) or close some';
    throw new FinwaitError('RESOURCES_EXHAUSTED', `no eventfd: ${libc.errnoName(-wakeFd)}`, limit);
  }
  const polledFds = [fd, wakeFd, ...also];
  const pollfds = new DataView(new ArrayBuffer(polledFds.length * POLLFD_BYTES));
  const pollfdBytes = new Uint8Array(pollfds.buffer);
  for (const [slot, polled] of polledFds.entries()) {
    pollfds.setInt32(slot * POLLFD_BYTES, polled, true);
    pollfds.setInt16(slot * POLLFD_BYTES + 4, libc.POLLIN, true);
  }
  const timeout = new BigInt64Array(2);
  const timeoutBytes = new Uint8Array(timeout.buffer);
  const timeoutWords = new DataView(timeout.buffer);
  const drained = new Uint8Array(8);

  const close = () => {
    libc.close(wakeFd);
  };
  return {
    wakeFd,
    wait(timeoutMs) {
      const ms = Math.min(Math.max(timeoutMs, 0), 0x7fff_ffff);
      const seconds = Math.floor(ms / 1000);
      // tv_sec and tv_nsec as their low halves: the high ones stay 0, and no BigInt is made.
      timeoutWords.setUint32(0, seconds, true);
      timeoutWords.setUint32(8, Math.floor((ms - seconds * 1000) * 1e6), true);
      const ready = libc.ppoll(pollfdBytes, timeoutBytes);
      if (ready <= 0) {
        if (ready === 0 || -ready === libc.EINTR) return false;
        throw new Error(`ppoll: ${libc.errnoName(-ready)}`);
      }
      if (pollfds.getInt16(POLLFD_BYTES + 6, true) !== 0) libc.read(wakeFd, drained);
      return pollfds.getInt16(6, true) !== 0;
    },
    wake: () => wakePoller(wakeFd),
    close,
    [Symbol.dispose]: close,
  };
}

/** Ends the present or the next `wait` of the poller with this eventfd, from any thread of this process. */
export function wakePoller(wakeFd: number): void {
  // EAGAIN means that the counter is full, so the waiter is awake already.
  libc.write(wakeFd, ONE);
}
