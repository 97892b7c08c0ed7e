/** What crossed the network of a scene, as text: one line for each packet, and what the client's sender thought then. */

import { decodeIp } from '../../daemon/wire/ip.ts';
import { type Seq, seqDiff } from '../../daemon/wire/seq.ts';
import { decodeTcpHeader, flagNames } from '../../daemon/wire/tcp-header.ts';
import type { End, Scene, SceneOptions } from './scene.ts';

const COLUMNS =
  '   ms  from    packet                                        fate       state        cwnd  flight  phase';

/**
 * Collects lines. Sequence numbers are relative to each side's SYN; `state`, `cwnd`, `flight` and `phase` are those of
 * `about`, after the packet was sent.
 */
export class Transcript {
  readonly #lines: string[] = [];
  readonly #initial = new Map<string, Seq>();
  readonly #about: 'client' | 'server';
  #scene: Scene | undefined;

  constructor(about: 'client' | 'server' = 'client') {
    this.#about = about;
  }

  readonly onPacket: NonNullable<SceneOptions['onPacket']> = ({ atUs, from, to, fate, packet }) => {
    const ip = decodeIp(packet);
    if (!ip.ok) throw new Error(ip.reason);
    const header = decodeTcpHeader(packet, ip.value.payload, ip.value.end);
    if (!header.ok) throw new Error(header.reason);
    const { flags, seq, ack, window, payload } = header.value;
    const names = flagNames(flags);
    if (names.includes('SYN')) this.#initial.set(from, seq);
    const first = seqDiff(seq, this.#initial.get(from) ?? seq);
    const length = ip.value.end - payload;
    const acks = names.includes('ACK') ? ` ack ${seqDiff(ack, this.#initial.get(to) ?? ack)}` : '';
    const text = `${names.toReversed().join(',')} ${first}:${first + length}(${length})${acks} win ${window}`;
    const known = fate === 'delivered' ? '' : fate;
    this.#lines.push(
      `${(atUs / 1000).toFixed(0).padStart(5)}  ${from}  ${text.padEnd(44)}  ${known.padEnd(9)}  ${this.#think()}`.trimEnd(),
    );
  };

  of(scene: Scene): this {
    this.#scene = scene;
    return this;
  }

  note(text: string): void {
    this.#lines.push(`       ${text}`);
  }

  get text(): string {
    return `${[COLUMNS, ...this.#lines].join('\n')}\n`;
  }

  #think(): string {
    const scene = this.#scene;
    const end: End | undefined = scene?.[this.#about];
    const info = end?.id === undefined ? undefined : scene?.simulation.host(this.#about).stack.info(end.id);
    if (info === undefined) return '';
    const { state, cwnd = 0, pipe, recovery = '' } = info;
    return `${state.padEnd(11)}${String(Math.round(cwnd)).padStart(6)}  ${String(pipe).padStart(6)}  ${recovery}`;
  }
}
