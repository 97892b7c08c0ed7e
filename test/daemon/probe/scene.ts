/** A prober and a peer, each on a stack of its own, over a seeded network in virtual time. */

import type { ProbeResult, ProbeTarget } from '#contract';
import { DEFAULT_PROBE_LIMITS } from '#contract';
import type { LinkOptions } from '../../../daemon/netsim/link.ts';
import type { Application, PacketRecord } from '../../../daemon/netsim/simulation.ts';
import { Simulation } from '../../../daemon/netsim/simulation.ts';
import { Prober } from '../../../daemon/probe/prober.ts';
import { PacketBuilder } from '../../../daemon/tcp/packets.ts';
import type { StackEvent, TcpStack } from '../../../daemon/tcp/types.ts';
import type { IpAddress } from '../../../daemon/wire/address.ts';
import { parseIpAddress } from '../../../daemon/wire/address.ts';
import { decodeIp } from '../../../daemon/wire/ip.ts';
import type { Seq } from '../../../daemon/wire/seq.ts';
import type { TcpHeader } from '../../../daemon/wire/tcp-header.ts';
import { decodeTcpHeader } from '../../../daemon/wire/tcp-header.ts';
import { NO_OPTIONS } from '../../../daemon/wire/tcp-options.ts';

export function ip(text: string): IpAddress {
  const address = parseIpAddress(text);
  if (!address.ok) throw new Error(`${text}: ${address.reason}`);
  return address.value;
}

export const ENGINE = { 4: ip('198.18.77.2'), 6: ip('fd00::2') } as const;
export const PEER = { 4: ip('10.0.0.1'), 6: ip('fd00::a') } as const;
export const PORT = 80;
/** Unix time of the simulation's 0. */
export const UNIX_US = 1_800_000_000_000_000;

export interface SceneOptions {
  /** What the peer's program does with the events of its stack. Without it nobody listens. */
  readonly peer?: Application;
  readonly family?: 4 | 6;
  readonly send?: string;
  readonly limits?: Partial<ProbeTarget['limits']>;
  readonly seed?: number;
  readonly delayUs?: number;
  /** The way to the peer, and the way back, beyond the delay. */
  readonly there?: Partial<LinkOptions>;
  readonly back?: Partial<LinkOptions>;
  /** Sees every packet the prober sends; may inject answers. */
  readonly onSent?: (packet: PacketRecord, scene: Scene) => void;
}

export class Scene {
  readonly simulation: Simulation;
  readonly prober: Prober;
  readonly results: ProbeResult[] = [];
  /** Packets by sender, as they were sent. */
  readonly sent: PacketRecord[] = [];
  losses = 0;
  readonly #options: SceneOptions;
  #probes = 0;

  constructor(options: SceneOptions) {
    this.#options = options;
    const delayUs = options.delayUs ?? 100;
    this.simulation = new Simulation({
      seed: options.seed ?? 1,
      hosts: [
        {
          name: 'engine',
          addresses: [ENGINE[4], ENGINE[6]],
          application: (event, _stack, nowUs) => this.prober.onEvent(event, nowUs),
        },
        {
          name: 'peer',
          addresses: [PEER[4], PEER[6]],
          application(event, stack, nowUs) {
            if (event.kind === 'accepted') stack.accept(event.listener);
            options.peer?.(event, stack, nowUs);
          },
        },
      ],
      link: (from) => ({ delayUs, ...(from === 'engine' ? options.there : options.back) }),
      onPacket: (packet) => {
        this.sent.push(packet);
        if (packet.from === 'engine') options.onSent?.(packet, this);
      },
    });
    if (options.peer !== undefined) this.peer.listen({ port: PORT }, 16);
    this.prober = new Prober(this.simulation.host('engine').stack, {
      unixUs: (us) => UNIX_US + us,
      losses: () => this.losses,
    });
  }

  get peer(): TcpStack {
    return this.simulation.host('peer').stack;
  }

  start(id = `probe-${++this.#probes}`): void {
    const { family = 4, send, limits } = this.#options;
    const target: ProbeTarget = {
      name: `peer:${PORT}`,
      host: 'peer',
      port: PORT,
      origin: 'user',
      intervalMs: 1000,
      limits: { ...DEFAULT_PROBE_LIMITS, ...limits },
      ...(send === undefined ? {} : { send }),
    };
    this.prober.start({ id, target, address: PEER[family] }, this.simulation.nowUs);
  }

  /** Runs until a probe has ended, at most `untilUs`. */
  run(untilUs = 60e6): void {
    const { simulation, prober } = this;
    const before = this.results.length;
    simulation.settle();
    while (this.results.length === before && simulation.nowUs < untilUs) {
      // Event by event, because each may move the prober's own deadline.
      simulation.run(Math.min(prober.nextDeadlineUs(), simulation.nextUs, untilUs));
      prober.advance(simulation.nowUs);
      simulation.settle();
      this.results.push(...prober.results());
    }
  }
}

/** One probe from its start to its end. */
export function probeOnce(options: SceneOptions): { result: ProbeResult; scene: Scene } {
  const scene = new Scene(options);
  scene.start();
  scene.run();
  const [result] = scene.results;
  if (result === undefined) throw new Error('the probe has not ended');
  return { result, scene };
}

/** A program that reads to the end and then does something. */
export function atEnd(
  then: (stack: TcpStack, event: StackEvent & { id: never }, nowUs: number) => void,
): Application {
  return (event, stack, nowUs) => {
    if (event.kind !== 'readable') return;
    const read = stack.receive(event.id, 65_536, nowUs);
    if (read.ok && read.value.eof) then(stack, event as never, nowUs);
  };
}

/** A program that closes when the other side has. */
export const CLOSES = atEnd((stack, { id }, nowUs) => void stack.shutdown(id, nowUs));

/** The TCP header of a packet of the prober's. */
export function headerOf(packet: Uint8Array): TcpHeader {
  const decodedIp = decodeIp(packet);
  if (!decodedIp.ok) throw new Error(decodedIp.reason);
  const tcp = decodeTcpHeader(packet, decodedIp.value.payload, decodedIp.value.end);
  if (!tcp.ok) throw new Error(tcp.reason);
  return tcp.value;
}

/** A segment that answers one of the prober's, from anywhere. */
export function forge(
  to: TcpHeader,
  segment: { flags: number; seq: number; ack: number; from?: IpAddress; port?: number },
): Uint8Array {
  const path = {
    local: { address: segment.from ?? PEER[4], port: segment.port ?? PORT },
    remote: { address: ENGINE[4], port: to.sourcePort },
    ttl: 60,
    trafficClass: 0,
    flowLabel: 0,
  };
  return new PacketBuilder()
    .segment(path, {
      seq: (segment.seq >>> 0) as Seq,
      ack: (segment.ack >>> 0) as Seq,
      flags: segment.flags,
      window: 1000,
      urgentPointer: 0,
      options: NO_OPTIONS,
      layout: [],
      offset: 0,
      length: 0,
    })
    .slice();
}
