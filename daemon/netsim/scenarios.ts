/** Scenes of two hosts: who connects, sends, reads, closes, and when. For `finwait simulate`. */

import type { LinkOptions } from './link.ts';

const SECOND_US = 1_000_000;
const MINUTE_US = 60 * SECOND_US;

/** What one end does once its connection is open. */
export interface Part {
  readonly sends?: number;
  /** Reads from this time on; from the beginning without it. Microseconds. */
  readonly readsFromUs?: number;
  /** `first`: when all is sent; `second`: when the peer has closed, and all is sent; `abort`: a RST when all is acknowledged. */
  readonly closes?: 'first' | 'second' | 'abort';
  /** Sends only when the peer has closed. */
  readonly sendsLate?: true;
  readonly keepAlive?: true;
}

export interface Scene {
  readonly about: string;
  readonly client: Part;
  readonly server: Part;
  /** Nobody listens, or both connect. */
  readonly opens?: 'unheard' | 'both';
  /** The scene is over when the connection is open at both ends. */
  readonly endsOpen?: true;
  /** Both ends close at once, a while after they are open. */
  readonly closesTogether?: true;
  /** The network is cut for good, a while after both ends are open; the scene is over when the client knows. */
  readonly cut?: true;
  /** Old segments and a new connection meet the server in TIME-WAIT. */
  readonly comesBack?: true;
  /** Which of the client's segments with data are lost, counted as they are sent, from 0. */
  readonly losesData?: readonly number[];
  /** A line to use where none is asked for. */
  readonly line?: Pick<LinkOptions, 'bitsPerSecond'>;
  /** The congestion window is worth a look. */
  readonly plotted?: true;
  /** Virtual time after which it is cut off, unless another is asked for. */
  readonly limitUs?: number;
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
    about: 'the client sends --bytes as fast as the network takes them',
    client: { sends: 100_000, closes: 'first' },
    server: { closes: 'second' },
    plotted: true,
  },
  congestion: {
    about:
      'the client sends --bytes over a slow line whose queue fills: slow start, loss, recovery, avoidance',
    client: { sends: 3_000_000, closes: 'first' },
    server: { closes: 'second' },
    line: { bitsPerSecond: 10_000_000 },
    plotted: true,
  },
  timeout: {
    about:
      'a request is lost three times: a probe of the tail, then the retransmission timeout, doubled each time',
    client: { sends: 500, closes: 'first' },
    server: { closes: 'second' },
    losesData: [0, 1, 2],
  },
  'fast-retransmit': {
    about: 'one of many segments is lost: what arrives after it tells, and it is sent again at once',
    client: { sends: 30_000, closes: 'first' },
    server: { closes: 'second' },
    losesData: [3],
    plotted: true,
  },
  'tail-loss': {
    about:
      'the last segments are lost, and nothing after them can tell: a probe finds out before the timeout',
    client: { sends: 7240 },
    server: {},
    losesData: [3, 4],
  },
  'zero-window': {
    about: 'the server does not read for five seconds: the window closes, and is probed',
    client: { sends: 400_000, closes: 'first' },
    server: { readsFromUs: 5 * SECOND_US, closes: 'second' },
    plotted: true,
  },
  keepalive: {
    about: 'the peer is gone without a word: keepalive finds out, two hours later',
    client: { keepAlive: true },
    server: {},
    cut: true,
    limitUs: 180 * MINUTE_US,
  },
  'time-wait': {
    about: 'an old segment, an old RST and a new SYN come to the server in TIME-WAIT (RFC 1337, RFC 6191)',
    client: { sends: 100, closes: 'second' },
    server: { closes: 'first' },
    comesBack: true,
  },
  reset: {
    about: 'the client sends some data and aborts',
    client: { sends: 1000, closes: 'abort' },
    server: { closes: 'second' },
  },
  refused: { about: 'nobody listens: RST in answer to the SYN', client: {}, server: {}, opens: 'unheard' },
} as const satisfies Readonly<Record<string, Scene>>;

export type ScenarioName = keyof typeof SCENARIOS;

const LIMIT_US = 20 * MINUTE_US;

export function sceneOf(name: ScenarioName): Scene {
  return SCENARIOS[name];
}

export function limitUsOf(name: ScenarioName): number {
  return sceneOf(name).limitUs ?? LIMIT_US;
}
