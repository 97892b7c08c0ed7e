/** ICMP errors and echo requests. RFC 9293 3.9.2.2, RFC 5927, RFC 5461, RFC 1191, RFC 8201 */

import * as assert from 'uvu/assert';
import { decodeIcmp } from '../../../daemon/wire/icmp.ts';
import { decodeIp } from '../../../daemon/wire/ip.ts';
import { spec } from '../../harness.ts';
import { echoRequest } from '../wire/echo.ts';
import { established, STATES, synSent, Trace } from './trace.ts';

const HOST_UNREACHABLE = [3, 1] as const;
const PORT_UNREACHABLE = [3, 3] as const;

spec('ICMP errors', (test) => {
  test('a hard error in SYN-SENT ends the connection: unreachable', () => {
    for (const code of [2, 3, 9, 10, 13]) {
      assert.is(synSent().receivesIcmp(3, code).ended, 'unreachable', `code ${code}`);
    }
    for (const code of [1, 4, 5, 6]) {
      assert.is(synSent({ family: 6 }).receivesIcmp(1, code).ended, 'unreachable', `v6 code ${code}`);
    }
  });

  test('MUST-47, SHLD-25: a soft error is told, and the SYN goes on', () => {
    const t = synSent().receivesIcmp(...HOST_UNREACHABLE);
    const [told] = t.all('icmp');
    assert.is(told?.error.kind, 'host-unreachable');
    assert.is(told?.from.text, t.peer.text);
    t.sendsAt(1000, 'SYN');
  });

  test('MUST-56a, MUST-56b, MUST-56c: no error, soft or hard, ends what is established', () => {
    const errors = [
      [3, 0],
      HOST_UNREACHABLE,
      [3, 2],
      PORT_UNREACHABLE,
      [3, 5],
      [11, 0],
      [11, 1],
      [12, 0],
    ] as const;
    for (const [type, code] of errors) {
      const t = established().send('abc');
      t.sends('ACK PSH');
      assert.is(t.receivesIcmp(type, code).state, 'ESTABLISHED');
      assert.is(t.all('icmp').length, 1);
    }
  });

  test('MUST-56a, MUST-56b, MUST-56c: nor do those of IPv6', () => {
    const errors = [
      [1, 0],
      [1, 3],
      [1, 1],
      [1, 4],
      [3, 0],
      [3, 1],
      [4, 1],
    ] as const;
    for (const [type, code] of errors) {
      const t = established({ family: 6 }).send('abc');
      t.sends('ACK PSH');
      assert.is(t.receivesIcmp(type, code).state, 'ESTABLISHED', `${type}/${code}`);
      assert.is(t.all('icmp').length, 1);
      t.receives('ACK', { seq: 1, ack: 4 }).silent();
    }
  });

  test('MUST-56a: what stays unreachable ends with R2 only', () => {
    const t = established({ connect: { userTimeoutUs: 10_000_000 } }).send('abc');
    while (t.state === 'ESTABLISHED') {
      while (t.next()) t.receivesIcmp(...HOST_UNREACHABLE);
      t.passTo(t.stack.nextDeadlineUs() / 1000);
    }
    assert.equal([t.ended, t.nowUs], ['timeout', 10_000_000]);
  });

  test('MUST-54: an error reaches the connection that it quotes, and no other', () => {
    const t = established();
    const first = t.id;
    const { iss } = t;
    t.enginePort += 1;
    t.connect().sends('SYN');
    t.receivesIcmp(...HOST_UNREACHABLE);
    assert.equal(
      t.all('icmp').map(({ id }) => id),
      [t.id],
    );
    assert.is.not(t.id, first);
    assert.is.not(t.iss, iss);
  });

  test('MUST-54: an old or a future number of the right connection is no error of it (RFC 5927 4.1)', () => {
    for (const off of [-1, 3, 70_000]) {
      const t = established().send('abc');
      const { packet } = t.sends('ACK PSH');
      const about = packet.slice();
      new DataView(about.buffer).setUint32(24, ((t.info?.sndUna ?? 0) + off) >>> 0);
      t.receivesIcmp(...HOST_UNREACHABLE, { about });
      assert.is(t.all('icmp').length, 0, String(off));
      assert.is(t.stack.counters.dropped['icmp-unmatched'], 1);
    }
  });

  test('MUST-54: an error about nothing in flight is not about this connection', () => {
    for (const make of Object.values(STATES)) {
      const t = make();
      t.receives('ACK', { seq: 1, ack: 2 });
      const before = t.state;
      const about = t.fromPeer('ACK');
      t.receivesIcmp(...PORT_UNREACHABLE, { about });
      assert.is(t.state, before);
    }
    const t = established();
    t.receivesIcmp(...PORT_UNREACHABLE);
    assert.is(t.all('icmp').length, 0);
    assert.is(t.stack.counters.dropped['icmp-unmatched'], 1);
  });

  test('MUST-55: a source quench is dropped silently', () => {
    const t = established().send('abc');
    t.sends('ACK PSH');
    const cwnd = t.info?.cwnd;
    t.receivesIcmp(4, 0).silent();
    assert.is(t.info?.cwnd, cwnd);
    assert.is(t.all('icmp').length, 0);
  });
});

spec('path MTU', (test) => {
  const full = (family: 4 | 6) => {
    const t = established({ family, peer: { mss: 1440 } }).send(1440);
    t.sends('ACK PSH', { data: 1440 });
    return t;
  };

  test('too big: what is in flight is sent again, smaller', () => {
    const v4 = full(4).receivesIcmp(3, 4, { mtu: 1000 });
    v4.sends('ACK', { seq: 1, data: 960 });
    v4.sends('ACK PSH', { seq: 961, data: 480 });
    assert.is(v4.info?.pathMtu, 1000);
    const v6 = full(6).receivesIcmp(2, 0, { mtu: 1280 });
    v6.sends('ACK', { seq: 1, data: 1220 });
  });

  test('the path may shrink again and again, segments only down to the least there is', () => {
    const v4 = full(4);
    for (const mtu of [1400, 1000, 576, 68]) v4.receivesIcmp(3, 4, { mtu });
    assert.is(v4.info?.pathMtu, 68);
    v4.sends('ACK', { seq: 1, data: 48 });
  });

  test('a quote of what was never sent changes nothing (RFC 5927 7.2)', () => {
    const t = full(4);
    const about = t.last?.slice() ?? new Uint8Array(0);
    new DataView(about.buffer).setUint32(24, ((t.info?.sndNxt ?? 0) + 1) >>> 0);
    t.receivesIcmp(3, 4, { mtu: 600, about }).silent();
    assert.is(t.info?.pathMtu, 1500);
  });

  test('with discovery off nothing is believed, and packets may be cut on the way', () => {
    const t = established({ profile: { pathMtuDiscovery: false } }).send('abc');
    const { packet } = t.sends('ACK PSH');
    assert.is((packet[6] ?? 0) & 0x40, 0, 'DF is off');
    t.receivesIcmp(3, 4, { mtu: 600 });
    assert.is(t.info?.pathMtu, 1500);
    const { packet: careful } = established().send('abc').sends('ACK PSH');
    assert.is((careful[6] ?? 0) & 0x40, 0x40);
  });

  test('values that cannot be are not believed', () => {
    for (const mtu of [1, 67, 1500, 9000]) assert.is(full(4).receivesIcmp(3, 4, { mtu }).info?.pathMtu, 1500);
    for (const mtu of [0, 1279, 1500]) assert.is(full(6).receivesIcmp(2, 0, { mtu }).info?.pathMtu, 1500);
  });

  test('a router that names no MTU: the next plateau of RFC 1191', () => {
    assert.is(full(4).receivesIcmp(3, 4, { mtu: 0 }).info?.pathMtu, 1492);
  });
});

spec('echo', (test) => {
  test('a request is answered with its own content', () => {
    for (const family of [4, 6] as const) {
      const t = new Trace({ family });
      const request = echoRequest(t.peer, t.engine, 'are you there?');
      t.stack.input(request, 0);
      const reply = t.stack.next(0) ?? new Uint8Array(0);
      const ip = decodeIp(reply);
      assert.ok(ip.ok && decodeIcmp(reply, ip.value).ok, 'checksums are right');
      const at = family === 4 ? 24 : 44;
      assert.equal(reply.subarray(at), request.subarray(at));
      assert.is(t.stack.counters.echoRepliesSent, 1);
    }
  });

  test('replies wait in a queue with an end', () => {
    const t = new Trace();
    for (let i = 0; i < 2000; i += 1) t.stack.input(echoRequest(t.peer, t.engine, ''), 0);
    assert.is(t.stack.usage().queuedReplies, 1024);
    assert.is(t.stack.counters.dropped['reply-queue-full'], 2000 - 1024);
  });
});
