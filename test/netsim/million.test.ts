/** A million connections, one after another and many at a time: nothing of them stays behind. */

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import * as assert from 'uvu/assert';
import { createStack } from '../../daemon/tcp/stack.ts';
import type { TcpStack } from '../../daemon/tcp/types.ts';
import { V4 } from '../daemon/wire/support.ts';
import { spec } from '../harness.ts';

const CONNECTIONS = 1_000_000;
const SECOND_US = 1_000_000;
const PORT = 80;
/** Opened in each second of the engines' time; those of a minute are in TIME-WAIT. */
const PER_SECOND = 200;
/** Memory is looked at so often. */
const LOOKS = 5;
/** Four octets for each connection: whatever is kept of each would be more. Code that the machine makes of ours counts, too. */
const GROWTH_MAX = 4 * CONNECTIONS;
const REQUEST = new Uint8Array(100);
const ANSWER = new Uint8Array(300);

/** Of so many one asks something, and the server that answers closes first; the others are closed by the client. */
const ASKS = 4;
const TIME_WAIT_S = 60;

/** Two engines on one wire. */
class Pair {
  nowUs = 0;
  closed = 0;
  readonly client = stack('a');
  readonly server = stack('b');

  constructor() {
    assert.ok(this.server.listen({ port: PORT }, 2 * PER_SECOND).ok);
  }

  /** A second passes in which so many connections are opened, and live as far as they can. */
  second(connections: number): void {
    this.nowUs += SECOND_US;
    for (let n = 0; n < connections; n += 1) {
      const opened = this.client.connect({ remote: { address: V4.b, port: PORT } }, this.nowUs);
      if (!opened.ok) throw new Error(`connect: ${opened.reason}`);
    }
    for (let quiet = false; !quiet; ) {
      this.client.advance(this.nowUs);
      this.server.advance(this.nowUs);
      const there = this.#carry(this.client, this.server);
      const back = this.#carry(this.server, this.client);
      this.#clientEvents();
      this.#serverEvents();
      quiet = !there && !back;
    }
  }

  #carry(from: TcpStack, to: TcpStack): boolean {
    let some = false;
    for (let packet = from.next(this.nowUs); packet; packet = from.next(this.nowUs)) {
      to.input(packet, this.nowUs);
      some = true;
    }
    return some;
  }

  #clientEvents(): void {
    const { client, nowUs } = this;
    for (const event of client.events()) {
      if (event.kind === 'state' && event.to === 'ESTABLISHED') {
        if (event.id % ASKS === 0) client.send(event.id, REQUEST, nowUs);
        else client.shutdown(event.id, nowUs);
      } else if (event.kind === 'readable') {
        const got = client.receive(event.id, ANSWER.length, nowUs);
        if (got.ok && got.value.eof) client.close(event.id, nowUs);
      } else if (event.kind === 'ended' && event.reason === 'closed') this.closed += 1;
    }
  }

  #serverEvents(): void {
    const { server, nowUs } = this;
    for (const event of server.events()) {
      if (event.kind === 'accepted') server.accept(event.listener);
      else if (event.kind === 'readable') {
        const got = server.receive(event.id, REQUEST.length, nowUs);
        if (got.ok && !got.value.eof) server.send(event.id, ANSWER, nowUs);
        server.shutdown(event.id, nowUs);
      }
    }
  }

  /** The last ones leave TIME-WAIT. */
  rest(): void {
    for (let seconds = 0; seconds <= TIME_WAIT_S; seconds += 1) this.second(0);
  }
}

function stack(end: 'a' | 'b'): TcpStack {
  return createStack({
    addresses: [V4[end]],
    mtu: 1500,
    random: (length) => crypto.getRandomValues(new Uint8Array(length)),
  });
}

/** Bytes that live after a collection: the heap, and what buffers hold outside of it. */
function livingBytes(): number {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

spec('a million connections', (test) => {
  test(
    'open and close, and leave nothing behind: memory stays as it was',
    async () => {
      const pair = new Pair();
      const seconds = CONNECTIONS / PER_SECOND;
      const living: number[] = [];
      for (let second = 1; second <= seconds; second += 1) {
        pair.second(PER_SECOND);
        if (second % 100 === 0) await new Promise(setImmediate);
        if (second % (seconds / LOOKS) !== 0) continue;
        pair.rest();
        assert.is(pair.closed, second * PER_SECOND);
        living.push(livingBytes());
      }
      const [first = 0] = living;
      const grown = Math.max(...living) - first;
      assert.ok(grown < GROWTH_MAX, `bytes that live: ${living.join(', ')}`);
      const nothing = { connections: 0, timers: 0, bufferBytes: 0, queuedReplies: 0 };
      assert.equal(pair.client.usage(), { ...nothing, listeners: 0 });
      assert.equal(pair.server.usage(), { ...nothing, listeners: 1 });
      assert.is(pair.client.counters.retransmittedSegments, 0);
    },
    { timeoutMs: 1_500_000 },
  );
});
