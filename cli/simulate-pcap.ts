/** Packets as a capture file: the classic pcap format, raw IP, microseconds. Pure. */

export interface CapturedPacket {
  readonly atUs: number;
  readonly packet: Uint8Array;
}

const MAGIC = 0xa1b2c3d4;
/** LINKTYPE_RAW of tcpdump.org/linktypes.html: the packet begins with its IP header. */
const LINKTYPE_RAW = 101;
const SNAPLEN = 262_144;
const HEADER_BYTES = 24;
const RECORD_BYTES = 16;

/** The file, little-endian as on most machines; readers tell by the magic number. */
export function pcapFile(packets: readonly CapturedPacket[]): Uint8Array {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32LE(MAGIC, 0);
  header.writeUInt16LE(2, 4);
  header.writeUInt16LE(4, 6);
  header.writeUInt32LE(SNAPLEN, 16);
  header.writeUInt32LE(LINKTYPE_RAW, 20);
  const records = packets.flatMap(({ atUs, packet }) => {
    const record = Buffer.alloc(RECORD_BYTES);
    record.writeUInt32LE(Math.floor(atUs / 1e6), 0);
    record.writeUInt32LE(Math.floor(atUs % 1e6), 4);
    record.writeUInt32LE(packet.length, 8);
    record.writeUInt32LE(packet.length, 12);
    return [record, packet];
  });
  return Buffer.concat([header, ...records]);
}
