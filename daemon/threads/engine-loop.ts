/**
 * One turn of the engine: take a batch of packets from the device, run what is due, then send, so that
 * acknowledgements aggregate. It waits for nothing and knows no thread; engine-worker.ts calls it in a loop.
 */

import type { Condition } from '#base/errors.ts';
import type { ProbeResult } from '#contract';
import { tunLost } from '../kernel/host-guard.ts';
import type { HostTun } from '../kernel/host-tun.ts';
import { EAGAIN, EBADFD, ENOBUFS } from '../kernel/libc.ts';
import { Prober } from '../probe/prober.ts';
import type { Probe } from '../probe/result.ts';
import { resultWithoutProbe } from '../probe/result.ts';
import type { TcpStack } from '../tcp/types.ts';

/** Packets taken in one turn, so that a flood cannot keep the engine from its timers. */
export const BATCH_PACKETS = 256;
/**
 * Packets sent in a turn that left some untaken: answers to a flood must not keep the engine from what else waits
 * in the device's queue. The stack gives the urgent ones first, and what it has no room to keep, it drops.
 */
export const SENT_UNDER_LOAD = 64;
const PACKET_BYTES_MAX = 65_535;
/** A turn that begins or ends so much too late spoils the times of the probes under way. */
const LAG_US = 10_000;

export interface EngineParts {
  readonly device: Pick<HostTun, 'device' | 'read' | 'write' | 'way' | 'look'>;
  readonly stack: TcpStack;
  readonly nowUs: () => number;
  readonly unixUs: (monotonicUs: number) => number;
  /** Packets the kernel could not queue for us since the device exists. */
  readonly deviceDrops: () => number;
}

export interface EngineOutcome {
  readonly result: ProbeResult;
  /** Why the verdict is `unreachable`, or why the probe was not run. */
  readonly condition?: Condition;
}

export class EngineLoop {
  readonly #parts: EngineParts;
  readonly #prober: Prober;
  readonly #packet = new Uint8Array(PACKET_BYTES_MAX);
  readonly #notRun: EngineOutcome[] = [];
  /** Set while the device is not as it should be, and cannot be set right. */
  #broken: Condition | undefined;
  readonly #counters = {
    tun_packets_read: 0,
    tun_packets_written: 0,
    tun_writes_without_room: 0,
    tun_writes_failed: 0,
    engine_turns: 0,
    engine_turns_late: 0,
    probes_unreachable: 0,
    probes_not_run: 0,
  };

  constructor(parts: EngineParts) {
    this.#parts = parts;
    const { stack, unixUs } = parts;
    this.#prober = new Prober(stack, { unixUs, losses: () => this.#losses() });
  }

  /** Begins a probe, or answers at once that there is no way to its target. The packets go out with the next turn. */
  start(probe: Probe): void {
    const { device, nowUs, unixUs } = this.#parts;
    const broken = this.#broken;
    const way = broken === undefined ? device.way(probe.address.text) : notNow(broken);
    if (!('condition' in way)) {
      this.#prober.start(probe, nowUs());
      return;
    }
    const { condition } = way;
    const unreachable = way.kind === 'none';
    if (unreachable) this.#counters.probes_unreachable++;
    else this.#counters.probes_not_run++;
    const [verdict, sentence] = unreachable
      ? (['unreachable', condition.message] as const)
      : (['aborted', `not probed: ${condition.message}`] as const);
    const result = resultWithoutProbe(probe, verdict, sentence, Math.round(unixUs(nowUs())));
    this.#notRun.push({ result, condition });
  }

  abort(probeId: string): void {
    this.#prober.abort(probeId, this.#parts.nowUs());
  }

  abortAll(): void {
    this.#prober.abortAll(this.#parts.nowUs());
  }

  /**
   * @param dueUs when this turn was to begin at the latest
   * @returns the probes that ended
   * @throws FinwaitError TUN_LOST
   * @throws Error when the device has failed
   */
  turn(dueUs: number): EngineOutcome[] {
    const { stack, nowUs } = this.#parts;
    const beganUs = nowUs();
    this.#counters.engine_turns++;
    this.#look();
    const more = this.#receive();
    stack.advance(nowUs());
    this.#prober.advance(nowUs());
    for (let room = more ? SENT_UNDER_LOAD : Number.POSITIVE_INFINITY; room > 0; ) {
      const sent = this.#send(room);
      if (sent === 0) break;
      room -= sent;
      this.#prober.advance(nowUs());
    }
    if (beganUs - dueUs > LAG_US || nowUs() - beganUs > LAG_US) {
      this.#counters.engine_turns_late++;
      this.#prober.taint('loop-lag');
    }
    return this.results();
  }

  /** The probes that ended since the last call, or the last turn. */
  results(): EngineOutcome[] {
    return [...this.#notRun.splice(0), ...this.#prober.results().map((result) => ({ result }))];
  }

  /** When the next turn is due if no packet comes before; Infinity when nothing is pending. */
  nextDeadlineUs(): number {
    return Math.min(this.#parts.stack.nextDeadlineUs(), this.#prober.nextDeadlineUs());
  }

  /** Totals since the start, by name. */
  counters(): Record<string, number> {
    const { dropped, ...totals } = this.#parts.stack.counters;
    return {
      ...this.#counters,
      ...this.#prober.counters,
      tun_queue_drops: this.#parts.deviceDrops(),
      ...renamed('tcp_', totals),
      ...renamed('tcp_dropped_', dropped),
    };
  }

  /** What was under way when the device was not as it should be must not be blamed on the target. */
  #look(): void {
    const state = this.#parts.device.look();
    this.#broken = state.kind === 'broken' ? state.condition : undefined;
    if (state.kind === 'intact') return;
    this.#prober.taint('device-changed');
    if (state.kind === 'broken') this.abortAll();
  }

  /** Whether there may be more to take. */
  #receive(): boolean {
    const { device, stack, nowUs } = this.#parts;
    for (let taken = 0; taken < BATCH_PACKETS; taken++) {
      const length = device.read(this.#packet);
      if (length === -EBADFD) throw tunLost(device.device);
      if (length < 0) throw new Error(`reading from the TUN device failed with errno ${-length}`);
      if (length === 0) return false;
      this.#counters.tun_packets_read++;
      stack.input(this.#packet.subarray(0, length), nowUs());
    }
    return true;
  }

  /** Sends what waits, at most `room` packets; answers how many. When there was any, there are new events. */
  #send(room: number): number {
    const { device, stack, nowUs } = this.#parts;
    let sent = 0;
    for (; sent < room; sent++) {
      const packet = stack.next(nowUs());
      if (packet === undefined) break;
      const written = device.write(packet);
      if (written >= 0) this.#counters.tun_packets_written++;
      else if (written === -EAGAIN || written === -ENOBUFS) this.#counters.tun_writes_without_room++;
      else this.#counters.tun_writes_failed++;
    }
    return sent;
  }

  #losses(): number {
    const { tun_writes_without_room, tun_writes_failed } = this.#counters;
    return tun_writes_without_room + tun_writes_failed + this.#parts.deviceDrops();
  }
}

function notNow(condition: Condition) {
  return { kind: 'unknown', condition } as const;
}

/** `segmentsIn` becomes `tcp_segments_in`, `queue-full` becomes `tcp_dropped_queue_full`. */
function renamed(prefix: string, totals: Readonly<Record<string, number>>): Record<string, number> {
  const entries = Object.entries(totals).map(([name, value]) => {
    const words = name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`).replaceAll('-', '_');
    return [`${prefix}${words}`, value] as const;
  });
  return Object.fromEntries(entries);
}
