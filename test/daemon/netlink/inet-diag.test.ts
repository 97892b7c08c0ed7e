import * as assert from 'uvu/assert';
import { DiagRecord } from '../../../daemon/netlink/diag-record.ts';
import type { DiagDetails } from '../../../daemon/netlink/inet-diag.ts';
import {
  ALL_STATES,
  encodeDiagDump,
  encodeDiagDumpOfBoth,
  encodeSocketDestroy,
} from '../../../daemon/netlink/inet-diag.ts';
import { viewOf } from '../../../daemon/netlink/message.ts';
import { ipFromBytes } from '../../../daemon/wire/address.ts';
import { spec, testSeed } from '../../harness.ts';
import { hostile, seededRandom } from './mutate.ts';
import { DIAG } from './recorded.ts';

const FUZZ_INPUTS = 300_000;

/** What comes before a message in a datagram. */
const HEADER = 16;

/** Reads the message from the middle of a view that ends with it. */
function readInto(record: DiagRecord, payload: Uint8Array): string | undefined {
  const datagram = new Uint8Array(HEADER + payload.length);
  datagram.set(payload, HEADER);
  return record.read(viewOf(datagram), HEADER, datagram.length);
}

function socket(payload: Uint8Array): DiagRecord {
  const record = new DiagRecord();
  assert.is(readInto(record, payload), undefined);
  return record;
}

function details(payload: Uint8Array): DiagDetails {
  return socket(payload).details();
}

function isRefused(payload: Uint8Array): boolean {
  return readInto(new DiagRecord(), payload) !== undefined;
}

/** The bytes of an address as the words say them. */
function address(record: DiagRecord, firstWord: number): number[] {
  const words = Uint32Array.from({ length: record.family === 4 ? 1 : 4 }, (_, i) =>
    record.word(firstWord + i),
  );
  return [...new Uint8Array(words.buffer)];
}

/** inet_diag_msg from its fields, written independently of the decoder. */
function message(fields: {
  family: number;
  state: number;
  port: number;
  address: number[];
  words: number[];
}) {
  const out = Buffer.alloc(72);
  out.writeUInt8(fields.family, 0);
  out.writeUInt8(fields.state, 1);
  out.writeUInt16BE(fields.port, 4);
  out.set(fields.address, 8);
  fields.words.forEach((word, index) => {
    out.writeUInt32LE(word, 52 + 4 * index);
  });
  return new Uint8Array(out);
}

spec('inet_diag', (test) => {
  test('asks for all states of a family with tcp_info, as ss does', () => {
    assert.is(
      Buffer.from(encodeDiagDump(7, 6, ALL_STATES)).toString('hex'),
      // length 72, SOCK_DIAG_BY_FAMILY, REQUEST|DUMP, seq 7, port 0; AF_INET6, TCP, ext INFO, states 0xfff
      `4800000014000103${'07000000'}00000000${'0a060200'}ff0f0000${'00'.repeat(48)}`,
    );
  });

  test('asks for both families in one walk by the older request: type 18, 60 bytes, states behind the socket id', () => {
    const request = Buffer.from(encodeDiagDumpOfBoth(7, 0x140, { memory: true, congestion: true }));
    assert.equal(
      [request.readUInt32LE(0), request.readUInt16LE(4), request.readUInt16LE(6)],
      [76, 18, 0x301],
    );
    // INFO is bit 1, CONG bit 3, SKMEMINFO bit 6.
    assert.equal([request[16 + 3], request.readUInt32LE(16 + 52)], [0b100_1010, 0x140]);
  });

  test('names one socket for its destruction by both ends, device and cookie, and asks for an answer', () => {
    const request = Buffer.from(
      encodeSocketDestroy(9, {
        localPort: 0x1234,
        remotePort: 0x5678,
        local: Uint8Array.of(10, 0, 0, 1),
        remote: Uint8Array.of(10, 0, 0, 2),
        interfaceIndex: 3,
        cookie: 0x1_0000_0002,
      }),
    );
    assert.equal([request.readUInt32LE(0), request.readUInt16LE(4), request.readUInt16LE(6)], [72, 21, 0x5]);
    assert.is(request.subarray(16, 18).toString('hex'), '0206');
    assert.is(
      request.subarray(24).toString('hex'),
      `12345678${'0a000001'.padEnd(32, '0')}${'0a000002'.padEnd(32, '0')}030000000200000001000000`,
    );
  });

  test('reads what comes unasked: shutdown, control group and options; and memory and congestion control', () => {
    const attribute = (type: number, ...bytes: number[]) => {
      const out = Buffer.alloc((4 + bytes.length + 3) & ~3);
      out.writeUInt16LE(4 + bytes.length, 0);
      out.writeUInt16LE(type, 2);
      out.set(bytes, 4);
      return out;
    };
    const words = (...values: number[]) => [...new Uint8Array(Uint32Array.from(values).buffer)];
    const payload = (...attributes: Buffer[]) =>
      new Uint8Array(Buffer.concat([DIAG.timeWait.subarray(0, 72), ...attributes]));
    const whole = payload(
      attribute(8, 3),
      attribute(21, 5, 0, 0, 0, 1, 0, 0, 0),
      attribute(22, 0, 1),
      attribute(4, ...Buffer.from('cubic\0')),
      attribute(7, ...words(1, 2, 3, 4, 5, 6, 7, 8, 9)),
    );
    const { shutdown, cgroupId, bindAddressNoPort } = socket(whole);
    assert.equal([shutdown, cgroupId, bindAddressNoPort], [3, 0x1_0000_0005, 1]);
    assert.equal(details(whole), {
      congestion: 'cubic',
      memory: {
        receive: 1,
        receiveLimit: 2,
        send: 3,
        sendLimit: 4,
        forward: 5,
        queued: 6,
        options: 7,
        backlog: 8,
        drops: 9,
      },
    });
    // An older kernel has no drops; what is shorter than it can be is left out.
    assert.is(details(payload(attribute(7, ...words(1, 2, 3, 4, 5, 6, 7, 8)))).memory?.drops, 0);
    const shorter = socket(payload(attribute(7, ...words(1, 2)), attribute(21, 1, 2), attribute(22, 0)));
    assert.equal([shorter.details(), shorter.cgroupId, shorter.bindAddressNoPort], [{}, 0, -1]);
  });

  test('keeps nothing of the message before', () => {
    const record = new DiagRecord();
    readInto(record, DIAG.established);
    assert.ok(record.hasInfo);
    readInto(record, DIAG.listenV6Only);
    assert.is(record.v6Only, 1);
    readInto(record, DIAG.timeWait);
    const { hasInfo, v6Only, shutdown, cgroupId, bindAddressNoPort } = record;
    assert.equal([hasInfo, v6Only, shutdown, cgroupId, bindAddressNoPort], [false, -1, -1, 0, -1]);
    assert.equal(record.details(), {});
  });

  test('reads a listener: its backlog, and that it takes IPv6 only', () => {
    const { family, state, localPort, receiveQueue, sendQueue, inode } = socket(DIAG.listenV6Only);
    assert.equal(
      { family, state, localPort, receiveQueue, sendQueue, inode },
      { family: 6, state: 10, localPort: 37_693, receiveQueue: 0, sendQueue: 511, inode: 187_963 },
    );
    assert.is(socket(DIAG.listenV6Only).v6Only, 1);
    assert.equal(address(socket(DIAG.listenV6Only), 2), new Array(16).fill(0));
  });

  test('reads an established connection with the part of tcp_info that is used', () => {
    const { family, state, localPort, remotePort, cookieLow, cookieHigh, inode } = socket(DIAG.established);
    assert.equal([family, state, localPort, remotePort, inode], [4, 1, 38_239, 58_778, 168_553]);
    assert.equal([cookieLow, cookieHigh], [0x1132, 0]);
    const { transmission, ...info } = details(DIAG.established).info ?? {};
    assert.equal(info, {
      lastDataSentMs: 0x8ca4,
      lastDataReceivedMs: 0x8ca4,
      lastAckReceivedMs: 0x8ca4,
      rttUs: 15,
      retransmits: 0,
      bytesAcked: 0,
      bytesReceived: 0,
    });
    assert.equal(transmission, {
      rttVarUs: 7,
      rtoMs: 200,
      backoff: 0,
      mss: 32_768,
      pathMtu: 65_535,
      congestionWindow: 10,
      slowStartThreshold: null,
      unacknowledged: 0,
      lost: 0,
      pacingRate: 62_430_716_278,
      segmentsSent: 0,
      segmentsReceived: 2,
      bytesNotSent: 0,
      minRttUs: 15,
      deliveryRate: 0,
      bytesSent: 0,
      bytesRetransmitted: 0,
      peerWindow: 65_536,
    });
  });

  test('reads TIME-WAIT: a timer that says how long it stays, no inode, no tcp_info', () => {
    const { state, timer, expiresMs, inode, uid } = socket(DIAG.timeWait);
    assert.equal(
      { state, timer, expiresMs, inode, uid },
      { state: 6, timer: 3, expiresMs: 23_992, inode: 0, uid: 0 },
    );
    assert.is(details(DIAG.timeWait).info, undefined);
  });

  test('reads a request socket as SYN_RECV with its SYN-ACK retransmissions', () => {
    const { state, timer, retransmits, inode } = socket(DIAG.synReceived);
    assert.equal({ state, timer, retransmits, inode }, { state: 3, timer: 1, retransmits: 14, inode: 0 });
  });

  test('tells that a v4-mapped socket speaks IPv4', () => {
    const record = socket(DIAG.closeWaitMapped);
    assert.equal([record.family, record.spokenFamily], [6, 4]);
    assert.is(ipFromBytes(Uint8Array.from(address(record, 6))).text, '127.0.0.1');
    assert.equal([socket(DIAG.established).spokenFamily, socket(DIAG.listenV6Only).spokenFamily], [4, 6]);
  });

  test('reads the shorter tcp_info of an older kernel, and none that lacks the fields used', () => {
    const shortened = (infoBytes: number) => {
      const at =
        72 +
        [...DIAG.established.subarray(72)].findIndex((_, index, all) => {
          return all[index] === 0x1c && all[index + 1] === 0x01 && all[index + 2] === 0x02;
        });
      const cut = DIAG.established.slice(0, at + 4 + infoBytes);
      new DataView(cut.buffer).setUint16(at, 4 + infoBytes, true);
      return cut;
    };
    assert.is(details(shortened(104)).info?.rttUs, 15);
    assert.is(details(shortened(104)).info?.bytesAcked, undefined);
    assert.is(details(shortened(136)).info?.bytesAcked, 0);
    const later = (bytes: number) => details(shortened(bytes)).info?.transmission;
    assert.equal(
      [later(104)?.mss, later(104)?.pacingRate, later(151)?.minRttUs],
      [32_768, undefined, undefined],
    );
    assert.equal(
      [later(152)?.minRttUs, later(152)?.deliveryRate, later(168)?.deliveryRate],
      [15, undefined, 0],
    );
    assert.is(details(shortened(100)).info, undefined);
  });

  test('refuses what is too short, of another family, or has an attribute beyond its end', () => {
    assert.ok(isRefused(DIAG.timeWait.subarray(0, 71)));
    assert.ok(isRefused(DIAG.timeWait.with(0, 1)));
    assert.ok(isRefused(DIAG.timeWait.with(72, 200)));
    assert.ok(isRefused(DIAG.timeWait.with(72, 3)));
  });

  test('gives back what any message holds', () => {
    const random = seededRandom(testSeed());
    const below = (bound: number) => Math.floor(random() * bound);
    for (let turn = 0; turn < 2_000; turn++) {
      const family = random() < 0.5 ? 2 : 10;
      const bytes = Array.from({ length: family === 2 ? 4 : 16 }, () => below(256));
      const words = Array.from({ length: 5 }, () => below(2 ** 32));
      const state = below(256);
      const port = below(65_536);
      const payload = message({ family, state, port, address: bytes, words });
      const got = socket(payload);
      const [expiresMs, receiveQueue, sendQueue, uid, inode] = words;
      assert.equal(
        [
          got.family,
          got.state,
          got.localPort,
          got.expiresMs,
          got.receiveQueue,
          got.sendQueue,
          got.uid,
          got.inode,
        ],
        [family === 2 ? 4 : 6, state, port, expiresMs, receiveQueue, sendQueue, uid, inode],
      );
      assert.equal(address(got, 2), bytes);
    }
  });

  test('never throws at hostile input', () => {
    const random = seededRandom(testSeed());
    const samples = Object.values(DIAG);
    const record = new DiagRecord();
    let accepted = 0;
    for (let turn = 0; turn < FUZZ_INPUTS; turn++) {
      const payload = hostile(samples, random);
      if (record.read(viewOf(payload), 0, payload.length) !== undefined) continue;
      accepted++;
      record.details();
      assert.is(ipFromBytes(Uint8Array.from(address(record, 2))).text.length > 1, true);
    }
    // Half of it gets past the first check, or the mutations would test nothing.
    assert.ok(accepted > FUZZ_INPUTS / 3, `${accepted} accepted`);
  });
});
