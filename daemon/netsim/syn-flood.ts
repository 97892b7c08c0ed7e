/** SYNs from addresses that nobody has flood a server (RFC 4987): how many decent clients still get through? */

import type { Profile } from '../tcp/profile.ts';
import type { ConnectionId, StackEvent } from '../tcp/types.ts';
import { seq } from '../wire/seq.ts';
import { SYN } from '../wire/tcp-header.ts';
import { NO_OPTIONS } from '../wire/tcp-options.ts';
import { forge } from './forge.ts';
import type { LinkOptions } from './link.ts';
import { ADDRESSES, PORT, SECOND_US } from './play.ts';
import { SeededRandom } from './random.ts';
import type { PacketRecord } from './simulation.ts';
import { Simulation } from './simulation.ts';
import type { Side } from './transcript.ts';

/** The flood lasts so long; the clients come one after another while it does. */
const FLOOD_US = 15 * SECOND_US;
const FIRST_CLIENT_US = 2 * SECOND_US;
const LAST_CLIENT_US = 10 * SECOND_US;
/** A client gives up after that. */
const PATIENCE_US = 5 * SECOND_US;
const CLIENTS = 100;
/** Linux's and FreeBSD's default of somaxconn was 128 for decades, and many programs still ask for it. */
export const BACKLOG = 128;
const FLOOD_MSS = 1460;

export interface FloodOptions {
  readonly seed: number;
  readonly link: (from: Side | 'flood') => LinkOptions;
  readonly profiles: Readonly<Record<Side, Profile>>;
  readonly mtu: number;
  /** Spoofed SYNs in a second. */
  readonly rate: number;
  readonly onPacket?: (record: PacketRecord) => void;
}

export interface Flooded {
  readonly clients: number;
  /** How long the handshakes took of those that were open in time. */
  readonly handshakesUs: readonly number[];
  readonly spoofedSyns: number;
  /** Of the server. */
  readonly cookiesSent: number;
  readonly cookiesAccepted: number;
  readonly synsDropped: number;
}

/** The same options give the same flood. */
export function playSynFlood(options: FloodOptions): Flooded {
  const { seed, profiles, mtu, rate } = options;
  const random = new SeededRandom(seed);
  const startedUs = new Map<ConnectionId, number>();
  const handshakesUs: number[] = [];
  const note = (event: StackEvent, nowUs: number) => {
    if (event.kind !== 'state' || event.to !== 'ESTABLISHED') return;
    handshakesUs.push(nowUs - (startedUs.get(event.id) ?? nowUs));
  };
  const simulation = new Simulation({
    seed,
    link: (from) => options.link(from as Side | 'flood'),
    hosts: [
      {
        name: 'client',
        addresses: [ADDRESSES.client],
        mtu,
        profile: profiles.client,
        application: (event, _stack, nowUs) => note(event, nowUs),
      },
      {
        name: 'server',
        addresses: [ADDRESSES.server],
        mtu,
        profile: profiles.server,
        application(event, stack) {
          if (event.kind === 'accepted') stack.accept(event.listener);
        },
      },
      { name: 'flood', addresses: [] },
    ],
    ...(options.onPacket === undefined ? {} : { onPacket: options.onPacket }),
  });
  const { stack: client } = simulation.host('client');
  const { stack: server } = simulation.host('server');
  server.listen({ port: PORT }, BACKLOG);

  const remote = { address: ADDRESSES.server, port: PORT };
  const spoofedSyns = Math.floor((rate * FLOOD_US) / SECOND_US);
  const floodUs = (n: number) =>
    n < spoofedSyns ? Math.floor((n * SECOND_US) / rate) : Number.POSITIVE_INFINITY;
  const stepUs = (LAST_CLIENT_US - FIRST_CLIENT_US) / (CLIENTS - 1);
  const clientUs = (n: number) =>
    n < CLIENTS ? FIRST_CLIENT_US + Math.floor(n * stepUs) : Number.POSITIVE_INFINITY;
  for (let syns = 0, clients = 0; syns < spoofedSyns || clients < CLIENTS; ) {
    const atUs = Math.min(floodUs(syns), clientUs(clients));
    simulation.run(atUs);
    if (floodUs(syns) === atUs) {
      simulation.transmit('flood', spoofedSyn(random), 'spoofed');
      syns += 1;
    } else {
      const opened = client.connect({ remote, handshakeTimeoutUs: PATIENCE_US }, atUs);
      if (opened.ok) startedUs.set(opened.value, atUs);
      clients += 1;
    }
  }
  simulation.run(simulation.nowUs + PATIENCE_US);
  const { synCookiesSent, synCookiesAccepted, dropped } = server.counters;
  return {
    clients: CLIENTS,
    handshakesUs,
    spoofedSyns,
    cookiesSent: synCookiesSent,
    cookiesAccepted: synCookiesAccepted,
    synsDropped: dropped['backlog-full'] ?? 0,
  };
}

/** From 198.18.0.0/15, where nobody is. */
function spoofedSyn(random: SeededRandom): Uint8Array {
  return forge({
    source: Uint8Array.of(198, 18 + random.below(2), random.below(256), random.below(256)),
    destination: ADDRESSES.server.bytes,
    sourcePort: 1024 + random.below(64_512),
    destinationPort: PORT,
    seq: seq(random.below(2 ** 32)),
    ack: seq(0),
    flags: SYN,
    window: 65_535,
    options: { ...NO_OPTIONS, mss: FLOOD_MSS },
    layout: [{ option: 'mss', align: 0 }],
  });
}
