/**
 * The engine on a TUN device of this network namespace, driven by the event loop, so that one process can hold
 * both ends of a connection: the engine's and the kernel's (node:net).
 */

import type { HostTun } from '../../daemon/kernel/host-tun.ts';
import { createStack } from '../../daemon/tcp/stack.ts';
import type {
  ConnectionId,
  EndReason,
  StackEvent,
  StateName,
  TcpInfo,
  TcpStack,
} from '../../daemon/tcp/types.ts';
import { type IpAddress, parseIpAddress } from '../../daemon/wire/address.ts';

const BATCH_PACKETS = 256;

/** What happened to a connection of the engine so far. */
export interface Life {
  readonly id: ConnectionId;
  readonly states: StateName[];
  readonly received: Uint8Array[];
  eof: boolean;
  ended: EndReason | undefined;
  info: TcpInfo | undefined;
  retransmissions: number;
}

export class EngineDriver implements Disposable {
  readonly stack: TcpStack;
  /** Whether what arrives is read at once. */
  reading = true;
  /** Takes what arrives, instead of `received`. */
  onData: ((life: Life, data: Uint8Array) => void) | undefined;
  readonly accepted: Life[] = [];
  readonly #tun: HostTun;
  readonly #packet = new Uint8Array(65_535);
  readonly #lives = new Map<ConnectionId, Life>();
  readonly #unsent = new Map<ConnectionId, Uint8Array>();
  #waiting: { readonly done: () => boolean; readonly resolve: () => void }[] = [];
  #stopped = false;

  constructor(tun: HostTun) {
    this.#tun = tun;
    this.stack = createStack({
      addresses: [tun.engineV4, tun.engineV6].filter((text) => text !== undefined).map(address),
      mtu: tun.mtu,
      random: (length) => crypto.getRandomValues(new Uint8Array(length)),
    });
    this.#pump();
  }

  connect(host: string, port: number): Life {
    const opened = this.stack.connect({ remote: { address: address(host), port } }, nowUs());
    if (!opened.ok) throw new Error(`connect: ${opened.reason}`);
    return this.#life(opened.value);
  }

  /** Sends all of `data`, as the send buffer takes it. */
  send(life: Life, data: Uint8Array): void {
    this.#unsent.set(life.id, data);
    this.#sendOn(life.id);
  }

  shutdown(life: Life): void {
    const closed = this.stack.shutdown(life.id, nowUs());
    if (!closed.ok) throw new Error(`shutdown: ${closed.reason}`);
  }

  close(life: Life): void {
    this.stack.close(life.id, nowUs());
  }

  abort(life: Life): void {
    this.stack.abort(life.id, nowUs());
  }

  /** Everything sent so far was handed to the engine and acknowledged. */
  isDrained(life: Life): boolean {
    const info = this.stack.info(life.id);
    return !this.#unsent.has(life.id) && info?.unackedBytes === 0 && info.unsentBytes === 0;
  }

  /** Reads what waits; for when `reading` is off. */
  read(life: Life): void {
    const got = this.stack.receive(life.id, Number.MAX_SAFE_INTEGER, nowUs());
    if (!got.ok) return;
    if (this.onData !== undefined) this.onData(life, got.value.data);
    else if (got.value.data.length > 0) life.received.push(got.value.data);
    life.eof ||= got.value.eof;
  }

  async until(done: () => boolean): Promise<void> {
    if (done()) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.push({ done, resolve });
    await promise;
  }

  [Symbol.dispose](): void {
    this.#stopped = true;
  }

  #pump(): void {
    if (this.#stopped) return;
    for (let taken = 0; taken < BATCH_PACKETS; taken += 1) {
      const length = this.#tun.read(this.#packet);
      if (length <= 0) break;
      this.stack.input(this.#packet.subarray(0, length), nowUs());
    }
    this.stack.advance(nowUs());
    for (let packet = this.stack.next(nowUs()); packet; packet = this.stack.next(nowUs())) {
      this.#tun.write(packet);
    }
    for (const event of this.stack.events()) this.#take(event);
    const met = this.#waiting.filter(({ done }) => done());
    this.#waiting = this.#waiting.filter((waiter) => !met.includes(waiter));
    for (const { resolve } of met) resolve();
    setImmediate(() => this.#pump());
  }

  #take(event: StackEvent): void {
    if (event.kind === 'stray') return;
    const life = this.#life(event.id);
    switch (event.kind) {
      case 'accepted':
        this.stack.accept(event.listener);
        this.accepted.push(life);
        break;
      case 'state':
        life.states.push(event.to);
        life.info = this.stack.info(event.id) ?? life.info;
        break;
      case 'segment':
        if (event.segment.retransmission && event.direction === 'out') life.retransmissions += 1;
        break;
      case 'readable':
        if (this.reading) this.read(life);
        break;
      case 'drained':
        this.#sendOn(event.id);
        break;
      case 'ended':
        life.ended = event.reason;
        break;
      default:
    }
  }

  #sendOn(id: ConnectionId): void {
    const unsent = this.#unsent.get(id);
    if (unsent === undefined) return;
    const taken = this.stack.send(id, unsent, nowUs());
    const count = taken.ok ? taken.value : 0;
    if (count === unsent.length) this.#unsent.delete(id);
    else this.#unsent.set(id, unsent.subarray(count));
  }

  #life(id: ConnectionId): Life {
    const known = this.#lives.get(id);
    if (known !== undefined) return known;
    const life: Life = {
      id,
      states: [],
      received: [],
      eof: false,
      ended: undefined,
      info: undefined,
      retransmissions: 0,
    };
    this.#lives.set(id, life);
    return life;
  }
}

export function nowUs(): number {
  return Math.round(performance.now() * 1000);
}

function address(text: string): IpAddress {
  const parsed = parseIpAddress(text);
  if (!parsed.ok) throw new Error(`${text}: ${parsed.reason}`);
  return parsed.value;
}
