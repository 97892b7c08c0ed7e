/** Scenes of two hosts: who connects, sends, reads, closes, and when. For `finwait simulate` and for tests. */

import type { ConnectionId, EndReason, StackEvent, StateName, TcpInfo, TcpStack } from '../tcp/types.ts';
import type { IpAddress } from '../wire/address.ts';
import { ipFromBytes } from '../wire/address.ts';
import type { LinkOptions } from './link.ts';
import type { PacketRecord } from './simulation.ts';
import { Simulation } from './simulation.ts';
import type { Side } from './transcript.ts';

const SECOND_US = 1_000_000;
const PORT = 80;
/** A local port of one's own, so that two hosts can open towards each other. */
const CLIENT_PORT = 40_000;
const ADDRESSES: Readonly<Record<Side, IpAddress>> = {
  client: ipFromBytes(Uint8Array.of(10, 0, 0, 1)),
  server: ipFromBytes(Uint8Array.of(10, 0, 0, 2)),
};
const CHUNK = 65_536;

/** What one end does once its connection is open. */
interface Part {
  readonly sends?: number;
  /** Reads from this time on; from the beginning without it. Microseconds. */
  readonly readsFromUs?: number;
  /** `first`: when all is sent; `second`: when the peer has closed, and all is sent; `abort`: a RST when all is sent. */
  readonly closes?: 'first' | 'second' | 'abort';
  /** Sends only when the peer has closed. */
  readonly sendsLate?: true;
}

interface Scene {
  readonly about: string;
  readonly client: Part;
  readonly server: Part;
  /** Nobody listens, or both connect. */
  readonly opens?: 'unheard' | 'both';
  /** The scene is over when the connection is open at both ends. */
  readonly endsOpen?: true;
  /** Both ends close at once, a while after they are open. */
  readonly closesTogether?: true;
}

const CLOSES = { client: { closes: 'first' }, server: { closes: 'second' } } as const;

export const SCENARIOS = {
  handshake: { about: 'three-way handshake', client: {}, server: {}, endsOpen: true },
  close: { about: 'handshake, then the client closes first and waits in TIME-WAIT', ...CLOSES },
  'simultaneous-open': { about: 'both ends connect to each other at once', ...CLOSES, opens: 'both' },
  'simultaneous-close': {
    about: 'both ends close at once: CLOSING',
    client: {},
    server: {},
    closesTogether: true,
  },
  'half-close': {
    about: 'the client closes, the server goes on sending in CLOSE-WAIT and closes then',
    client: { closes: 'first' },
    server: { sends: 3000, sendsLate: true, closes: 'second' },
  },
  transfer: {
    about: 'the client sends --bytes: slow start, congestion avoidance, recovery from loss',
    client: { sends: 0, closes: 'first' },
    server: { closes: 'second' },
  },
  'zero-window': {
    about: 'the server does not read for five seconds: the window closes, and is probed',
    client: { sends: 400_000, closes: 'first' },
    server: { readsFromUs: 5 * SECOND_US, closes: 'second' },
  },
  reset: {
    about: 'the client sends some data and aborts',
    client: { sends: 1000, closes: 'abort' },
    server: { closes: 'second' },
  },
  refused: { about: 'nobody listens: RST in answer to the SYN', client: {}, server: {}, opens: 'unheard' },
} as const satisfies Readonly<Record<string, Scene>>;

export type ScenarioName = keyof typeof SCENARIOS;

export interface PlayOptions {
  readonly scenario: ScenarioName;
  readonly seed: number;
  readonly link: (from: Side) => LinkOptions;
  /** What the client of `transfer` sends, bytes. */
  readonly bytes: number;
  readonly mtu: number;
  /** Virtual time after which the scene is cut off. */
  readonly limitUs: number;
  readonly onPacket?: (record: PacketRecord) => void;
  readonly onEvent?: (side: Side, event: StackEvent) => void;
  /** Told of the client's connection after each of its events. */
  readonly onInfo?: (info: TcpInfo, nowUs: number) => void;
}

export interface Played {
  /** When both ends were open; undefined when one never was. */
  readonly openUs: number | undefined;
  /** When the client was open. */
  readonly clientOpenUs: number | undefined;
  /** When the last of both ends was gone; undefined when one is not. */
  readonly endUs: number | undefined;
  readonly ends: Readonly<Record<Side, EndReason | undefined>>;
  readonly states: Readonly<Record<Side, StateName>>;
  readonly received: Readonly<Record<Side, number>>;
  /** The scene was over before its limit. */
  readonly finished: boolean;
}

interface EndState {
  readonly side: Side;
  readonly part: Part;
  id: ConnectionId | undefined;
  state: StateName;
  openUs: number | undefined;
  endUs: number | undefined;
  ended: EndReason | undefined;
  sent: number;
  received: number;
  peerClosed: boolean;
  closed: boolean;
}

/** Plays a scene to its end. The same options give the same run to the microsecond. */
export function play(options: PlayOptions): Played {
  const scene: Scene = SCENARIOS[options.scenario];
  const parts = options.scenario === 'transfer' ? { ...scene.client, sends: options.bytes } : scene.client;
  const ends = { client: endState('client', parts), server: endState('server', scene.server) };
  const simulation = new Simulation({
    seed: options.seed,
    link: (from) => options.link(from as Side),
    hosts: (['client', 'server'] as const).map((side) => ({
      name: side,
      addresses: [ADDRESSES[side]],
      mtu: options.mtu,
      application(event, stack, nowUs) {
        options.onEvent?.(side, event);
        act(ends[side], event, stack, nowUs);
        const { id } = ends.client;
        const info = side === 'client' && id !== undefined ? stack.info(id) : undefined;
        if (info !== undefined) options.onInfo?.(info, nowUs);
      },
    })),
    ...(options.onPacket === undefined ? {} : { onPacket: options.onPacket }),
  });
  open(simulation, scene);

  const isOver = (): boolean =>
    scene.endsOpen === true
      ? ends.client.ended !== undefined ||
        (ends.client.openUs !== undefined && ends.server.openUs !== undefined)
      : Object.values(ends).every(({ id, ended }) => ended !== undefined || id === undefined) &&
        ends.client.ended !== undefined;
  const step = (untilUs: number, done: () => boolean): boolean =>
    simulation.run(Math.min(untilUs, options.limitUs), done);
  if (scene.server.readsFromUs !== undefined) {
    step(scene.server.readsFromUs, isOver);
    read(ends.server, simulation.host('server').stack, simulation.nowUs);
  }
  if (scene.closesTogether === true) {
    const bothOpen = (): boolean => ends.client.openUs !== undefined && ends.server.openUs !== undefined;
    step(options.limitUs, () => bothOpen() || isOver());
    step(simulation.nowUs + SECOND_US, isOver);
    for (const side of ['client', 'server'] as const) {
      const { id, ended } = ends[side];
      if (id !== undefined && ended === undefined) simulation.host(side).stack.shutdown(id, simulation.nowUs);
    }
  }
  const finished = step(options.limitUs, isOver);
  const { client, server } = ends;
  const opened = client.openUs !== undefined && server.openUs !== undefined;
  const gone = client.endUs !== undefined && (server.endUs !== undefined || server.id === undefined);
  return {
    openUs: opened ? Math.max(client.openUs ?? 0, server.openUs ?? 0) : undefined,
    clientOpenUs: client.openUs,
    endUs: gone ? Math.max(client.endUs ?? 0, server.endUs ?? 0) : undefined,
    ends: { client: client.ended, server: server.ended },
    states: { client: client.state, server: server.state },
    received: { client: client.received, server: server.received },
    finished,
  };
}

function open(simulation: Simulation, { opens }: Scene): void {
  const { stack: client } = simulation.host('client');
  const { stack: server } = simulation.host('server');
  if (opens === undefined) server.listen({ port: PORT }, 8);
  const remote = { address: ADDRESSES.server, port: PORT };
  client.connect({ remote, local: { port: CLIENT_PORT } }, 0);
  if (opens === 'both') {
    server.connect({ remote: { address: ADDRESSES.client, port: CLIENT_PORT }, local: { port: PORT } }, 0);
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
    peerClosed: false,
    closed: false,
  };
}

function act(end: EndState, event: StackEvent, stack: TcpStack, nowUs: number): void {
  if (event.kind === 'stray') return;
  if (event.kind === 'state') {
    end.id ??= event.id;
    end.state = event.to;
    if (event.to === 'ESTABLISHED') end.openUs ??= nowUs;
  }
  if (event.kind === 'ended' && event.id === end.id) {
    end.ended = event.reason;
    end.endUs = nowUs;
  }
  if (event.kind === 'accepted') stack.accept(event.listener);
  if (event.kind === 'readable') read(end, stack, nowUs);
  proceed(end, stack, nowUs);
}

function read(end: EndState, stack: TcpStack, nowUs: number): void {
  if (end.id === undefined || end.ended !== undefined || nowUs < (end.part.readsFromUs ?? 0)) return;
  const got = stack.receive(end.id, Number.MAX_SAFE_INTEGER, nowUs);
  if (!got.ok) return;
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
  end.closed = true;
  if (closes === 'abort') stack.abort(id, nowUs);
  else stack.shutdown(id, nowUs);
}
