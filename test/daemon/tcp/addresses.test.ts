/** Who may talk to the engine, and whom it talks to. RFC 9293 3.9.1.1 and 3.9.2.3, RFC 1122 4.2.3.10 */

import * as assert from 'uvu/assert';
import { SeededRandom } from '../../../daemon/netsim/random.ts';
import { createStack } from '../../../daemon/tcp/stack.ts';
import { SYN } from '../../../daemon/wire/tcp-header.ts';
import { spec } from '../../harness.ts';
import { ip, tcpPacket, V4, V6, withExtensionHeaders, withIpv4Options } from '../wire/support.ts';
import { established, listening, Trace } from './trace.ts';

const port = { port: 80 };
const syn = (source: string, destination: string) =>
  tcpPacket({
    source: ip(source),
    destination: ip(destination),
    sourcePort: 40_000,
    destinationPort: 80,
    seq: 1,
    flags: SYN,
  });

spec('addresses', (test) => {
  test('MUST-63: a SYN from an address that cannot be answered is dropped silently', () => {
    const sources = ['224.0.0.1', '255.255.255.255', '0.0.0.0', '127.0.0.1', V4.a.text];
    const t = listening();
    for (const source of sources) t.stack.input(syn(source, V4.a.text), 0);
    for (const source of ['ff02::1', '::', '::1', V6.a.text]) t.stack.input(syn(source, V6.a.text), 0);
    t.silent();
    assert.is(t.stack.counters.dropped['bad-source'], 9);
    assert.is(t.stack.usage().connections, 0);
  });

  test('a v4-mapped source never appears on a wire', () => {
    const t = new Trace();
    const packet = syn('2001:db8::9', V6.a.text);
    packet.set([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 2], 8);
    t.stack.input(packet, 0);
    t.silent();
    assert.is(t.stack.counters.dropped['bad-source'], 1);
  });

  test('MUST-57a: what is sent to a multicast or broadcast address, or to others, is dropped silently', () => {
    const t = listening();
    for (const to of ['224.0.0.1', '255.255.255.255', '192.0.2.77']) t.stack.input(syn(V4.b.text, to), 0);
    t.stack.input(syn(V6.b.text, 'ff02::1'), 0);
    t.silent();
    assert.is(t.stack.counters.dropped['not-ours'], 4);
  });

  test('MUST-46a, MUST-46b: no connection to what cannot be the other end of one', () => {
    const t = new Trace();
    const remotes = ['224.0.0.1', '255.255.255.255', '0.0.0.0', 'ff02::1', '::', V4.a.text, V6.a.text];
    for (const text of remotes) {
      const refused = t.stack.connect({ remote: { address: ip(text), ...port } }, 0);
      assert.equal(refused, { ok: false, reason: 'invalid-remote' }, text);
    }
    for (const bad of [0, -1, 65_536, 1.5]) {
      const refused = t.stack.connect({ remote: { address: V4.b, port: bad } }, 0);
      assert.equal(refused, { ok: false, reason: 'invalid-remote' });
    }
  });

  test("MUST-43, MUST-44, MUST-45: the local address is the one asked for, or the engine's of that family", () => {
    const t = new Trace();
    const asked = t.stack.connect({ remote: { address: V4.b, ...port }, local: { address: V4.a } }, 0);
    const chosen = t.stack.connect({ remote: { address: V6.b, ...port } }, 0);
    const localOf = (result: typeof asked) =>
      result.ok ? t.stack.info(result.value)?.local.address.text : '';
    assert.is(localOf(asked), V4.a.text);
    assert.is(localOf(chosen), V6.a.text);
    const foreign = t.stack.connect({ remote: { address: V4.b, ...port }, local: { address: V4.b } }, 0);
    assert.equal(foreign, { ok: false, reason: 'address-not-available' });
  });

  test('MUST-44, MUST-45: of several addresses, all segments of a connection have the one of its SYN', () => {
    for (const local of [undefined, V4.a, ip('192.0.2.9')]) {
      const addresses = [V4.a, ip('192.0.2.9'), V6.a];
      const random = new SeededRandom(1);
      const stack = createStack({ addresses, mtu: 1500, random: (length) => random.bytes(length) });
      const connected = stack.connect(
        { remote: { address: V4.b, ...port }, local: { port: 40_000, ...(local && { address: local }) } },
        0,
      );
      assert.ok(connected.ok);
      const sources = new Set<string>();
      for (let ms = 0; ms < 10_000; ms += 500) {
        stack.advance(ms * 1000);
        for (let packet = stack.next(0); packet; packet = stack.next(0))
          sources.add(packet.subarray(12, 16).join('.'));
      }
      if (connected.ok) stack.abort(connected.value, 0);
      assert.equal([...sources], [(local ?? V4.a).text]);
    }
  });

  test('one connection for a four-tuple', () => {
    const t = established();
    const again = t.stack.connect({ remote: { address: t.peer, ...port }, local: { port: t.enginePort } }, 0);
    assert.equal(again, { ok: false, reason: 'connection-exists' });
  });

  test('the number of connections has an end', () => {
    const t = established();
    const full = new Trace();
    assert.is(t.stack.usage().connections, 1);
    let opened = 0;
    for (let i = 0; i < 70_000; i += 1) {
      const remote = { address: V4.b, port: 1 + (i % 65_000) };
      if (full.stack.connect({ remote }, 0).ok) opened += 1;
    }
    assert.is(opened, 65_536);
    const more = full.stack.connect({ remote: { address: V4.b, port: 7 } }, 0);
    assert.equal(more, { ok: false, reason: 'too-many-connections' });
  });

  test('MUST-50: IP options and extension headers before a segment change nothing', () => {
    const v4 = listening();
    const packet = v4.fromPeer('SYN', { seq: 0 });
    v4.stack.input(withIpv4Options(packet, Uint8Array.of(0x99, 4, 0, 0, 7, 3, 4, 0)), 0);
    v4.sends('SYN ACK', { ack: 1 });

    const v6 = listening({ family: 6 });
    const filler = [0, 1, 4, 0, 0, 0, 0];
    v6.stack.input(
      withExtensionHeaders(v6.fromPeer('SYN', { seq: 0 }), [
        [0, filler],
        [60, filler],
      ]),
      0,
    );
    v6.sends('SYN ACK', { ack: 1 });
  });

  test('MUST-5, MUST-6, MUST-7: options on any segment, unknown and impossible ones, harm nothing', () => {
    const t = established();
    for (const bytes of [
      [9, 4, 1, 2],
      [254, 8, 1, 2, 3, 4, 5, 6],
      [77, 0, 1, 1],
      [3, 1, 1, 1],
      [8, 41, 0, 0],
    ]) {
      t.stack.input(
        tcpPacket({
          source: t.peer,
          destination: t.engine,
          sourcePort: t.peerPort,
          destinationPort: t.enginePort,
          seq: t.info?.rcvNxt ?? 0,
          ack: t.info?.sndNxt ?? 0,
          flags: 0x18,
          options: Uint8Array.from(bytes),
          data: Buffer.from('x'),
        }),
        0,
      );
    }
    assert.is(t.read().data, 'xxxxx');
    assert.is(t.stack.counters.dropped['options-malformed'], 3);
  });

  test('fragments and other protocols are counted and dropped', () => {
    const t = listening();
    const atom = [0, 0, 1, 0, 0, 0, 1];
    const v6 = tcpPacket({
      source: V6.b,
      destination: V6.a,
      sourcePort: 1,
      destinationPort: 80,
      seq: 1,
      flags: SYN,
    });
    t.stack.input(withExtensionHeaders(v6, [[44, atom]]), 0);
    const udp = v6.slice();
    udp[6] = 17;
    t.stack.input(udp, 0);
    t.silent();
    assert.is(t.stack.counters.dropped.fragment, 1);
    assert.is(t.stack.counters.dropped['protocol-unknown'], 1);
  });
});
