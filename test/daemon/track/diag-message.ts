/** inet_diag messages from what they say, for tables that are fed by hand. */

import type { OnDatagram } from '../../../daemon/kernel/netlink-events.ts';
import { viewOf } from '../../../daemon/netlink/message.ts';
import { parseIpAddress } from '../../../daemon/wire/address.ts';

export interface DiagFields {
  readonly state: number;
  /** `10.0.0.1:80`, `[::1]:80`; `mapped` writes IPv4 in an IPv6 socket. */
  readonly local: string;
  readonly peer?: string;
  readonly mapped?: true;
  readonly inode?: number;
  readonly cookie?: number;
  readonly timer?: number;
  readonly expiresMs?: number;
  readonly receiveQueue?: number;
  readonly sendQueue?: number;
  readonly lastAckReceivedMs?: number;
  readonly lastDataSentMs?: number;
  readonly lastDataReceivedMs?: number;
  readonly rttUs?: number;
  readonly bytesSent?: number;
  readonly bytesRetransmitted?: number;
  readonly shutdown?: number;
  readonly cgroupId?: number;
  readonly bindAddressNoPort?: boolean;
  /** Of an IPv6 listener. */
  readonly v6Only?: boolean;
}

export const STATE = {
  established: 1,
  synSent: 2,
  finWait1: 4,
  finWait2: 5,
  timeWait: 6,
  close: 7,
  closeWait: 8,
  lastAck: 9,
  listen: 10,
  closing: 11,
} as const;

export function diagMessage(fields: DiagFields): Uint8Array {
  const { local, peer = local.startsWith('[') ? '[::]:0' : '0.0.0.0:0' } = fields;
  const v6 = fields.mapped === true || local.startsWith('[');
  const out = Buffer.alloc(72 + 8 + 4 + 216);
  out[0] = v6 ? 10 : 2;
  out[1] = fields.state;
  out[2] = fields.timer ?? 0;
  for (const [index, end] of [local, peer].entries()) {
    const colon = end.lastIndexOf(':');
    const address = parseIpAddress(end.slice(0, colon).replace(/^\[|\]$/g, ''));
    if (!address.ok) throw new Error(address.reason);
    out.writeUInt16BE(Number(end.slice(colon + 1)), 4 + 2 * index);
    const at = 8 + 16 * index;
    if (fields.mapped === true) {
      out.fill(0xff, at + 10, at + 12);
      out.set(address.value.bytes, at + 12);
    } else out.set(address.value.bytes, at);
  }
  out.writeUInt32LE(fields.cookie ?? 1, 44);
  out.writeUInt32LE(fields.expiresMs ?? 0, 52);
  out.writeUInt32LE(fields.receiveQueue ?? 0, 56);
  out.writeUInt32LE(fields.sendQueue ?? 0, 60);
  out.writeUInt32LE(fields.inode ?? 0, 68);
  // INET_DIAG_SKV6ONLY, then INET_DIAG_INFO
  out.set([5, 0, 11, 0, fields.v6Only === true ? 1 : 0], 72);
  out.set([4 + 216, 0, 2, 0], 80);
  out.writeUInt32LE(fields.lastDataSentMs ?? 0, 84 + 44);
  out.writeUInt32LE(fields.lastDataReceivedMs ?? 0, 84 + 52);
  out.writeUInt32LE(fields.lastAckReceivedMs ?? 0, 84 + 56);
  out.writeUInt32LE(fields.rttUs ?? 0, 84 + 68);
  out.writeBigUInt64LE(BigInt(fields.bytesSent ?? 0), 84 + 200);
  out.writeBigUInt64LE(BigInt(fields.bytesRetransmitted ?? 0), 84 + 208);
  const { shutdown, cgroupId, bindAddressNoPort } = fields;
  return new Uint8Array(
    Buffer.concat([
      out,
      ...(shutdown === undefined ? [] : [Buffer.from([5, 0, 8, 0, shutdown, 0, 0, 0])]),
      ...(cgroupId === undefined ? [] : [Buffer.from([12, 0, 21, 0, cgroupId, 0, 0, 0, 0, 0, 0, 0])]),
      ...(bindAddressNoPort === undefined
        ? []
        : [Buffer.from([6, 0, 22, 0, 0xff, bindAddressNoPort ? 0xff : 0xfe, 0, 0])]),
    ]),
  );
}

/** Shows a table messages, as a dump does. */
export function show(messages: readonly Uint8Array[], onSocket: OnDatagram): void {
  for (const message of messages) onSocket(viewOf(message), 0, message.length);
}
