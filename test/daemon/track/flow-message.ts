/** ctnetlink messages from what they say, for tables that are fed by hand. */

import type { ConntrackTcpState } from '../../../daemon/netlink/ctnetlink.ts';
import { CONNTRACK_TCP_STATES } from '../../../daemon/netlink/ctnetlink.ts';
import {
  concat,
  encodeAttribute,
  encodeMessage,
  encodeNested,
  NLM_F_CREATE,
  NLM_F_EXCL,
} from '../../../daemon/netlink/message.ts';
import { parseIpAddress } from '../../../daemon/wire/address.ts';

export interface FlowFields {
  /** Absent: a flow of UDP, unless it is offloaded. */
  readonly state?: ConntrackTcpState;
  /** A flow of TCP of which the kernel tells neither state nor time left. */
  readonly offloaded?: true;
  /** `10.0.0.1:40000`, `[::1]:1` */
  readonly source: string;
  readonly destination: string;
  /** Where answers come from and go to, if NAT changes it. */
  readonly replySource?: string;
  readonly replyDestination?: string;
  readonly mark?: number;
  readonly zone?: number;
  readonly status?: number;
  readonly timeoutS?: number;
  readonly id?: number;
  /** Unix time in milliseconds. */
  readonly startMs?: number;
  readonly stopMs?: number;
  /** Packets and bytes: of who opened the connection, and of the other. */
  readonly counters?: readonly [sent: readonly [number, number], received: readonly [number, number]];
  readonly originalFlags?: number;
  readonly replyFlags?: number;
}

const u8 = (value: number) => new Uint8Array([value]);
const u16 = (value: number) => new Uint8Array([value >> 8, value]);
const u32 = (value: number) => new Uint8Array([value >>> 24, value >>> 16, value >>> 8, value]);

function u64(value: bigint): Uint8Array {
  const out = new DataView(new ArrayBuffer(8));
  out.setBigUint64(0, value);
  return new Uint8Array(out.buffer);
}

const nanoseconds = (ms: number) => u64(BigInt(ms) * 1_000_000n);

function counters(type: number, [packets, bytes]: readonly [number, number]): Uint8Array {
  return encodeNested(type, encodeAttribute(1, u64(BigInt(packets))), encodeAttribute(2, u64(BigInt(bytes))));
}

/** An event as the kernel sends it: the message with its header. */
export function eventMessage(kind: 'begun' | 'changed' | 'ended', fields: FlowFields): Uint8Array {
  const flags = kind === 'begun' ? NLM_F_CREATE | NLM_F_EXCL : 0;
  return encodeMessage(0x100 | (kind === 'ended' ? 2 : 0), flags, 0, flowMessage(fields));
}

export function flowMessage(fields: FlowFields): Uint8Array {
  const {
    source,
    destination,
    state,
    offloaded,
    replySource = destination,
    replyDestination = source,
  } = fields;
  const protocol = state === undefined && !offloaded ? 17 : 6;
  const v6 = source.startsWith('[');
  const protoInfo =
    state === undefined
      ? []
      : [
          encodeNested(
            4,
            encodeNested(
              1,
              encodeAttribute(1, u8(CONNTRACK_TCP_STATES.indexOf(state))),
              encodeAttribute(4, new Uint8Array([fields.originalFlags ?? 0, 0])),
              encodeAttribute(5, new Uint8Array([fields.replyFlags ?? 0, 0])),
            ),
          ),
        ];
  return concat([
    new Uint8Array([v6 ? 10 : 2, 0, 0, 0]),
    tuple(1, source, destination, protocol),
    tuple(2, replySource, replyDestination, protocol),
    encodeAttribute(3, u32((fields.status ?? 0) | (offloaded ? 1 << 14 : 0))),
    ...protoInfo,
    ...(offloaded ? [] : [encodeAttribute(7, u32(fields.timeoutS ?? 60))]),
    encodeAttribute(8, u32(fields.mark ?? 0)),
    ...(fields.counters === undefined
      ? []
      : [counters(9, fields.counters[0]), counters(10, fields.counters[1])]),
    ...(fields.id === undefined ? [] : [encodeAttribute(12, u32(fields.id))]),
    ...(fields.startMs === undefined
      ? []
      : [
          encodeNested(
            20,
            encodeAttribute(1, nanoseconds(fields.startMs)),
            ...(fields.stopMs === undefined ? [] : [encodeAttribute(2, nanoseconds(fields.stopMs))]),
          ),
        ]),
    ...(fields.zone === undefined ? [] : [encodeAttribute(18, u16(fields.zone))]),
  ]);
}

function tuple(type: number, source: string, destination: string, protocol: number): Uint8Array {
  const [from, to] = [end(source), end(destination)];
  const first = from.bytes.length === 4 ? 1 : 3;
  return encodeNested(
    type,
    encodeNested(1, encodeAttribute(first, from.bytes), encodeAttribute(first + 1, to.bytes)),
    encodeNested(
      2,
      encodeAttribute(1, u8(protocol)),
      encodeAttribute(2, u16(from.port)),
      encodeAttribute(3, u16(to.port)),
    ),
  );
}

function end(text: string): { bytes: Uint8Array; port: number } {
  const colon = text.lastIndexOf(':');
  const address = parseIpAddress(text.slice(0, colon).replace(/^\[|\]$/g, ''));
  if (!address.ok) throw new Error(address.reason);
  return { bytes: address.value.bytes, port: Number(text.slice(colon + 1)) };
}
