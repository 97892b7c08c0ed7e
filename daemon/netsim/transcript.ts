/** What happened in a simulation of two hosts, in order: every segment with its fate, every change of state. */

import type { StackEvent, StateName } from '../tcp/types.ts';
import { decodeIp } from '../wire/ip.ts';
import type { Seq } from '../wire/seq.ts';
import { seqDiff } from '../wire/seq.ts';
import type { TcpFlags, TcpHeader } from '../wire/tcp-header.ts';
import { ACK, decodeTcpHeader, FIN, SYN } from '../wire/tcp-header.ts';
import { decodeTcpOptions } from '../wire/tcp-options.ts';
import type { Fate } from './link.ts';
import type { PacketRecord } from './simulation.ts';

export type Side = 'client' | 'server';

/** One segment as it was sent. */
export interface SentSegment {
  readonly from: Side;
  readonly flags: TcpFlags;
  /** Relative to the sender's initial sequence number. */
  readonly seq: number;
  /** Relative to the receiver's initial sequence number; undefined without ACK. */
  readonly ack: number | undefined;
  readonly length: number;
  /** Bytes, scaled where scaling is in force. */
  readonly window: number;
  readonly retransmission: boolean;
  readonly fate: Fate;
}

/** A moment: a segment that was sent, states that were entered, or both. */
export interface Moment {
  readonly atUs: number;
  readonly segment?: SentSegment;
  readonly client?: readonly StateName[];
  readonly server?: readonly StateName[];
}

interface Direction {
  iss: Seq | undefined;
  /** Shift count of the SYN; undefined when it offered none. */
  shift: number | undefined;
  /** End of what was sent so far, relative. */
  sentTo: number;
}

type Entry =
  | { readonly atUs: number; readonly segment: SentSegment }
  | { readonly atUs: number; readonly side: Side; readonly state: StateName };

export class Transcript {
  readonly #entries: Entry[] = [];
  readonly #directions: Readonly<Record<Side, Direction>> = {
    client: { iss: undefined, shift: undefined, sentTo: 0 },
    server: { iss: undefined, shift: undefined, sentTo: 0 },
  };

  /** To be called with each packet, in the order they are sent. */
  packet({ atUs, from, fate, packet }: PacketRecord): void {
    const ip = decodeIp(packet);
    const header = ip.ok ? decodeTcpHeader(packet, ip.value.payload, ip.value.end) : ip;
    if (!ip.ok || !header.ok) return;
    const { windowScale } = decodeTcpOptions(packet, header.value.options, header.value.payload);
    const length = ip.value.end - header.value.payload;
    const segment = this.#segment(from as Side, header.value, windowScale, length, fate);
    this.#entries.push({ atUs, segment });
  }

  event(side: Side, event: StackEvent): void {
    if (event.kind !== 'state') return;
    this.#entries.push({ atUs: event.atUs, side, state: event.to });
  }

  /**
   * All so far. The states that a host enters at one moment stand beside the segments it sends then: the last beside
   * the last, so that each is seen with what it came with.
   */
  moments(): Moment[] {
    const byTime = Map.groupBy(
      this.#entries.toSorted((a, b) => a.atUs - b.atUs),
      ({ atUs }) => atUs,
    );
    return [...byTime].flatMap(([atUs, entries]) => {
      const moments: { atUs: number; segment?: SentSegment; client?: StateName[]; server?: StateName[] }[] =
        entries.flatMap((entry) => ('segment' in entry ? [{ atUs, segment: entry.segment }] : []));
      for (const side of ['client', 'server'] as const) {
        const states = entries.flatMap((entry) =>
          'state' in entry && entry.side === side ? [entry.state] : [],
        );
        const places = moments.filter(({ segment }) => segment === undefined || segment.from === side);
        if (states.length > 0 && places.length === 0) {
          const alone = { atUs };
          moments.push(alone);
          places.push(alone);
        }
        for (const [index, state] of states.entries()) {
          const place = places[Math.max(0, places.length - states.length + index)];
          if (place !== undefined) place[side] = [...(place[side] ?? []), state];
        }
      }
      return moments;
    });
  }

  #segment(
    from: Side,
    header: TcpHeader,
    shift: number | undefined,
    length: number,
    fate: Fate,
  ): SentSegment {
    const own = this.#directions[from];
    const other = this.#directions[from === 'client' ? 'server' : 'client'];
    const { flags } = header;
    const syn = (flags & SYN) !== 0;
    if (syn) {
      own.iss = header.seq;
      own.shift = shift;
    }
    const seq = own.iss === undefined ? 0 : seqDiff(header.seq, own.iss);
    const octets = length + (syn ? 1 : 0) + ((flags & FIN) !== 0 ? 1 : 0);
    const retransmission = octets > 0 && seq + octets <= own.sentTo;
    own.sentTo = Math.max(own.sentTo, seq + octets);
    const scales = !syn && own.shift !== undefined && other.shift !== undefined;
    return {
      from,
      flags,
      seq,
      ack: (flags & ACK) === 0 || other.iss === undefined ? undefined : seqDiff(header.ack, other.iss),
      length,
      window: scales ? header.window << (own.shift ?? 0) : header.window,
      retransmission,
      fate,
    };
  }
}
