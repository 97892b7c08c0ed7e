/** Plays a scene of two hosts. */

import type { Profile } from '../tcp/profile.ts';
import type { ConnectionId, EndReason, StackEvent, StateName, TcpInfo, TcpStack } from '../tcp/types.ts';
import type { IpAddress } from '../wire/address.ts';
import { ipFromBytes } from '../wire/address.ts';
import { isData, resetLike } from './forge.ts';
import type { LinkOptions } from './link.ts';
import type { Part, ScenarioName, Scene } from './scenarios.ts';
import { sceneOf } from './scenarios.ts';
import type { PacketRecord } from './simulation.ts';
import { Simulation } from './simulation.ts';
import type { Side } from './transcript.ts';

export const SECOND_US = 1_000_000;
export const PORT = 80;
/** A local port of one's own, so that two hosts can open towards each other. */
const CLIENT_PORT = 40_000;
export const ADDRESSES: Readonly<Record<Side, IpAddress>> = {
  client: ipFromBytes(Uint8Array.of(10, 0, 0, 1)),
  server: ipFromBytes(Uint8Array.of(10, 0, 0, 2)),
};
const CHUNK = 65_536;
const SIDES = ['client', 'server'] as const;

export interface PlayOptions {
  readonly scenario: ScenarioName;
  readonly seed: number;
  readonly link: (from: Side) => LinkOptions;
  readonly profiles: Readonly<Record<Side, Profile>>;
  /** What the client sends, bytes; undefined: as much as the scenario says. */
  readonly bytes: number | undefined;
  readonly mtu: number;
  /** Virtual time after which the scene is cut off. */
  readonly limitUs: number;
  readonly onPacket?: (record: PacketRecord) => void;
  /** `info`: of the connection just after it. */
  readonly onEvent?: (side: Side, event: StackEvent, info: TcpInfo | undefined) => void;
  /** Told of the client's connection after each of its events. */
  readonly onInfo?: (info: TcpInfo, nowUs: number) => void;
}

export interface Played {
  /** When both ends were open; undefined when one never was. */
  readonly openUs: number | undefined;
  /** When the client was open. */
  readonly clientOpenUs: number | undefined;
  /** When a connection after the first one was open at both ends. */
  readonly reopenUs: number | undefined;
  /** When the server had read all that the client sends; undefined when it never had, or nothing was sent. */
  readonly arrivedUs: number | undefined;
  /** When the last of both ends was gone; undefined when one is not. */
  readonly endUs: number | undefined;
  readonly ends: Readonly<Record<Side, EndReason | undefined>>;
  readonly endsUs: Readonly<Record<Side, number | undefined>>;
  readonly states: Readonly<Record<Side, StateName>>;
  readonly received: Readonly<Record<Side, number>>;
  /** The scene was over before its limit. */
  readonly finished: boolean;
}

/** Plays a scene to its end. The same options give the same run to the microsecond. */
export function play(options: PlayOptions): Played {
  return new Play(options).run();
}

interface EndState {
  readonly side: Side;
  part: Part;
  id: ConnectionId | undefined;
  state: StateName;
  openUs: number | undefined;
  endUs: number | undefined;
  ended: EndReason | undefined;
  sent: number;
  received: number;
  /** When something was last read. */
  readUs: number | undefined;
  peerClosed: boolean;
  closed: boolean;
  /** All it has sent is acknowledged. */
  drained: boolean;
}

class Play {
  readonly #options: PlayOptions;
  readonly #scene: Scene;
  readonly #ends: Readonly<Record<Side, EndState>>;
  readonly #simulation: Simulation;
  /** From then on nothing gets through. */
  #cutUs = Number.POSITIVE_INFINITY;
  #dataSent = 0;
  /** The client's first segment with data, and its last one. */
  #firstData: Uint8Array | undefined;
  #last: Uint8Array | undefined;
  #reopening = false;
  /** Octets that the client sends. */
  readonly #sends: number;

  constructor(options: PlayOptions) {
    this.#options = options;
    const scene = sceneOf(options.scenario);
    this.#scene = scene;
    const sends = scene.client.sends === undefined ? undefined : (options.bytes ?? scene.client.sends);
    this.#sends = sends ?? 0;
    const client = { ...scene.client, ...(sends === undefined ? {} : { sends }) };
    this.#ends = { client: endState('client', client), server: endState('server', scene.server) };
    this.#simulation = new Simulation({
      seed: options.seed,
      link: (from) => this.#link(from as Side),
      hosts: SIDES.map((side) => ({
        name: side,
        addresses: [ADDRESSES[side]],
        mtu: options.mtu,
        profile: options.profiles[side],
        application: (event, stack, nowUs) => this.#event(side, event, stack, nowUs),
      })),
      onPacket: (record) => this.#packet(record),
    });
  }

  run(): Played {
    const { client, server } = this.#ends;
    const scene = this.#scene;
    this.#open();
    if (scene.server.readsFromUs !== undefined) {
      this.#step(scene.server.readsFromUs);
      const { stack } = this.#simulation.host('server');
      read(server, stack, this.#simulation.nowUs);
      proceed(server, stack, this.#simulation.nowUs);
    }
    if (scene.closesTogether === true) this.#closeTogether();
    if (scene.cut === true && this.#awaitOpen()) this.#cutUs = this.#simulation.nowUs;
    const reopenUs = scene.comesBack === true ? this.#comeBack() : undefined;
    const finished = this.#step(this.#options.limitUs);
    const opened = client.openUs !== undefined && server.openUs !== undefined;
    const gone = client.endUs !== undefined && (server.endUs !== undefined || server.id === undefined);
    return {
      openUs: opened ? Math.max(client.openUs ?? 0, server.openUs ?? 0) : undefined,
      clientOpenUs: client.openUs,
      reopenUs,
      arrivedUs: server.received > 0 && server.received === this.#sends ? server.readUs : undefined,
      endUs: gone ? Math.max(client.endUs ?? 0, server.endUs ?? 0) : undefined,
      ends: { client: client.ended, server: server.ended },
      endsUs: { client: client.endUs, server: server.endUs },
      states: { client: client.state, server: server.state },
      received: { client: client.received, server: server.received },
      finished,
    };
  }

  #open(): void {
    const { stack: server } = this.#simulation.host('server');
    const { opens } = this.#scene;
    if (opens === undefined) server.listen({ port: PORT }, 8);
    this.#connect();
    if (opens !== 'both') return;
    const remote = { address: ADDRESSES.client, port: CLIENT_PORT };
    server.connect({ remote, local: { port: PORT } }, 0);
  }

  #connect(): void {
    const { stack } = this.#simulation.host('client');
    const { keepAlive } = this.#ends.client.part;
    const remote = { address: ADDRESSES.server, port: PORT };
    const settings = keepAlive === undefined ? {} : { keepAlive };
    stack.connect({ remote, local: { port: CLIENT_PORT }, ...settings }, this.#simulation.nowUs);
  }

  /** Runs until then at most; answers whether the scene is over. */
  #step(untilUs: number, done: () => boolean = () => this.#isOver()): boolean {
    return this.#simulation.run(Math.min(untilUs, this.#options.limitUs), done);
  }

  #isOver(): boolean {
    const { client, server } = this.#ends;
    if (client.ended !== undefined && this.#scene.cut === true) return true;
    if (this.#reopening) return client.state === 'ESTABLISHED' && server.state === 'ESTABLISHED';
    if (this.#scene.endsOpen === true) return client.ended !== undefined || this.#isOpen();
    if (client.part.closes === undefined && client.part.sends !== undefined) {
      return client.ended !== undefined || server.received === this.#sends;
    }
    return SIDES.every((side) => this.#ends[side].ended !== undefined || this.#ends[side].id === undefined)
      ? client.ended !== undefined
      : false;
  }

  #isOpen(): boolean {
    return this.#ends.client.openUs !== undefined && this.#ends.server.openUs !== undefined;
  }

  /** Until both ends are open, and a second more; false when that does not come. */
  #awaitOpen(): boolean {
    this.#step(this.#options.limitUs, () => this.#isOpen() || this.#isOver());
    this.#step(this.#simulation.nowUs + SECOND_US);
    return this.#isOpen();
  }

  #closeTogether(): void {
    this.#awaitOpen();
    const { nowUs } = this.#simulation;
    for (const side of SIDES) {
      const { id, ended } = this.#ends[side];
      if (id !== undefined && ended === undefined) this.#simulation.host(side).stack.shutdown(id, nowUs);
    }
  }

  /** What comes to TIME-WAIT, a second apart. Answers when the next connection was open. */
  #comeBack(): number | undefined {
    const { client, server } = this.#ends;
    const simulation = this.#simulation;
    this.#step(this.#options.limitUs, () => server.state === 'TIME-WAIT' && client.ended !== undefined);
    if (server.state !== 'TIME-WAIT' || this.#firstData === undefined || this.#last === undefined)
      return undefined;
    const firstUs = simulation.nowUs;
    const second = (n: number) => simulation.run(firstUs + n * SECOND_US);
    second(1);
    simulation.transmit('client', this.#firstData.slice(), 'an old duplicate');
    second(2);
    simulation.transmit('client', resetLike(this.#last), 'an old RST');
    second(3);
    this.#reopening = true;
    this.#connect();
    return this.#step(this.#options.limitUs) ? simulation.nowUs : undefined;
  }

  #link(from: Side): LinkOptions {
    const { line, losesData } = this.#scene;
    const asked = this.#options.link(from);
    return {
      ...asked,
      ...(asked.bitsPerSecond === undefined ? line : {}),
      lose: (packet, nowUs) => {
        const scripted =
          from === 'client' && isData(packet) && losesData?.includes(this.#dataSent++) === true;
        const asWished = asked.lose?.(packet, nowUs) === true;
        return scripted || asWished || nowUs >= this.#cutUs;
      },
    };
  }

  #packet(record: PacketRecord): void {
    this.#options.onPacket?.(record);
    const { client } = this.#ends;
    if (record.from !== 'client' || this.#scene.comesBack !== true || client.ended !== undefined) return;
    this.#last = record.packet.slice();
    if (isData(record.packet)) this.#firstData ??= this.#last;
  }

  #event(side: Side, event: StackEvent, stack: TcpStack, nowUs: number): void {
    const end = this.#ends[side];
    const info = event.kind === 'stray' ? undefined : stack.info(event.id);
    this.#options.onEvent?.(side, event, info);
    if (this.#reopening && event.kind === 'state' && end.id !== event.id) {
      Object.assign(end, { id: event.id, part: {}, ended: undefined, endUs: undefined });
    }
    act(end, event, stack, nowUs);
    if (side !== 'client' || event.kind === 'stray' || event.id !== end.id) return;
    if (info !== undefined) this.#options.onInfo?.(stack.info(event.id) ?? info, nowUs);
  }
}

function endState(side: Side, part: Part): EndState {
  return {
    side,
    part,
    id: undefined,
    state: 'CLOSED',
    openUs: undefined,
    endUs: undefined,
    ended: undefined,
    sent: 0,
    received: 0,
    readUs: undefined,
    peerClosed: false,
    closed: false,
    drained: false,
  };
}

function act(end: EndState, event: StackEvent, stack: TcpStack, nowUs: number): void {
  if (event.kind === 'stray') return;
  if (event.kind === 'state') {
    end.id ??= event.id;
    if (event.id === end.id) end.state = event.to;
    if (event.id === end.id && event.to === 'ESTABLISHED') end.openUs ??= nowUs;
  }
  if (event.kind === 'ended' && event.id === end.id) {
    end.ended = event.reason;
    end.endUs = nowUs;
  }
  if (event.kind === 'drained') end.drained = true;
  if (event.kind === 'accepted') stack.accept(event.listener);
  if (event.kind === 'readable') read(end, stack, nowUs);
  proceed(end, stack, nowUs);
}

function read(end: EndState, stack: TcpStack, nowUs: number): void {
  if (end.id === undefined || end.ended !== undefined || nowUs < (end.part.readsFromUs ?? 0)) return;
  const got = stack.receive(end.id, Number.MAX_SAFE_INTEGER, nowUs);
  if (!got.ok) return;
  if (got.value.data.length > 0) end.readUs = nowUs;
  end.received += got.value.data.length;
  end.peerClosed ||= got.value.eof;
}

/** Sends and closes as far as it is time to. */
function proceed(end: EndState, stack: TcpStack, nowUs: number): void {
  const { id, part } = end;
  if (id === undefined || end.ended !== undefined || end.openUs === undefined || end.closed) return;
  const { sends = 0, closes } = part;
  if (part.sendsLate !== true || end.peerClosed) {
    for (let taken = -1; taken !== 0 && end.sent < sends; end.sent += taken) {
      const result = stack.send(id, new Uint8Array(Math.min(CHUNK, sends - end.sent)), nowUs);
      taken = result.ok ? result.value : 0;
    }
  }
  if (end.sent < sends || closes === undefined || (closes === 'second' && !end.peerClosed)) return;
  if (closes === 'abort' && sends > 0 && !end.drained) return;
  end.closed = true;
  if (closes === 'abort') stack.abort(id, nowUs);
  else stack.shutdown(id, nowUs);
}
