/** What a user may set for a connection, before it is opened and while it lives. RFC 9293 3.9.1 and 3.9.2 */

import * as assert from 'uvu/assert';
import { SeededRandom } from '../../../daemon/netsim/random.ts';
import { PROFILES } from '../../../daemon/tcp/profiles.ts';
import { createStack } from '../../../daemon/tcp/stack.ts';
import { decodeTcpOptions } from '../../../daemon/wire/tcp-options.ts';
import { spec } from '../../harness.ts';
import { established, finWait1, listening, type Sent, Trace } from './trace.ts';

function takeAll(t: Trace): Sent[] {
  const all: Sent[] = [];
  for (let sent = t.next(); sent; sent = t.next()) all.push(sent);
  return all;
}

const lengths = (t: Trace) => takeAll(t).map(({ data }) => data.length);

const configure = (t: Trace, options: Parameters<Trace['stack']['configure']>[1]) => {
  assert.ok(t.stack.configure(t.id, options, t.nowUs).ok);
  return t;
};

const write = (t: Trace, data: string, how: { more?: boolean }) => {
  assert.ok(t.stack.send(t.id, Buffer.from(data), t.nowUs, how).ok);
  return t;
};

spec('traffic class and TTL', (test) => {
  test('MUST-48, MUST-49: on every segment, SYN, text, FIN and RST', () => {
    const t = new Trace({ connect: { trafficClass: 0x28, ttl: 7 } }).connect();
    const seen = [t.sends('SYN')];
    t.receives('SYN ACK', { seq: 0, ack: 1 });
    seen.push(t.sends('ACK'), t.send('x').sends('ACK PSH'), t.shutdown().sends('FIN ACK'));
    seen.push(t.abort().sends('RST ACK'));
    for (const { ttl, trafficClass } of seen) assert.equal([ttl, trafficClass], [7, 0x28]);
  });

  test('SHLD-21: they may change while the connection lives', () => {
    const t = configure(established(), { trafficClass: 0xb8, ttl: 3 }).send('x');
    const { ttl, trafficClass } = t.sends('ACK PSH');
    assert.equal([ttl, trafficClass], [3, 0xb8]);
  });

  test('SHLD-22: every value of the six bits goes out as it was given, with either family', () => {
    for (const family of [4, 6] as const) {
      for (let dscp = 0; dscp < 64; dscp += 1) {
        const t = established({ family, connect: { trafficClass: dscp << 2 } }).send('x');
        assert.is(t.sends('ACK PSH').trafficClass, dscp << 2);
      }
    }
  });

  test('IPv6: one flow label for all packets of a connection, another for another (RFC 6437)', () => {
    const labelOf = ({ packet }: Sent) =>
      new DataView(packet.buffer, packet.byteOffset).getUint32(0) & 0xfffff;
    const t = new Trace({ family: 6 }).connect();
    const syn = labelOf(t.sends('SYN'));
    t.receives('SYN ACK', { seq: 0, ack: 1 });
    assert.is(labelOf(t.sends('ACK')), syn);
    assert.is(labelOf(t.send('x').sends('ACK PSH')), syn);
    assert.is(labelOf(t.sendsAt(200, 'ACK PSH')), syn, 'sent again');
    t.enginePort += 1;
    assert.is.not(labelOf(t.connect().sends('SYN')), syn);
  });

  test('MAY-9, MAY-17: what a segment of the peer had of them, and its PSH, is told', () => {
    const t = established().receives('ACK PSH', { seq: 1, ack: 1, data: 'abc', trafficClass: 0x48 });
    const segment = t.all('segment').findLast(({ direction }) => direction === 'in')?.segment;
    assert.is(segment?.trafficClass, 0x48);
    assert.is((segment?.flags ?? 0) & 0x08, 0x08);
    assert.is(segment?.ttl, 64);
  });
});

spec('pushing', (test) => {
  test('SHLD-27: writes that share a segment share one PSH', () => {
    const t = established({ connect: { nagle: true } }).send('a');
    t.sends('ACK PSH');
    t.send('b').send('c').send(1200).receives('ACK', { seq: 1, ack: 2 });
    assert.equal(
      takeAll(t).map(({ flags, data }) => [flags.includes('PSH'), data.length]),
      [
        [false, 1000],
        [true, 202],
      ],
    );
  });

  test('Linux keeps the PSH of each write', () => {
    const t = established({ profile: { pushEachWrite: true }, peerWindow: 500 });
    t.send(1000).send(500).receives('ACK', { seq: 1, ack: 1, window: 5000 });
    assert.equal(
      takeAll(t).map(({ flags }) => flags.includes('PSH')),
      [true, true],
    );
  });

  test('MAY-15, MAY-16: what is written with more to come waits, and leaves together', () => {
    const t = write(established(), 'ab', { more: true }).silent();
    write(t, 'cd', { more: true }).silent();
    write(t, 'ef', {}).sends('ACK PSH', { data: 'abcdef' });
  });

  test('MAY-16: full segments do not wait, and the rest not for ever', () => {
    const t = established();
    write(t, 'x'.repeat(1500), { more: true });
    assert.equal(lengths(t), [1000]);
    t.receives('ACK', { seq: 1, ack: 1001 });
    t.sendsAt(200, 'ACK PSH', { data: 500 });
  });

  test('a cork holds small segments until it is pulled, or for 200 ms', () => {
    const t = configure(established(), { cork: true }).send(1200);
    assert.equal(lengths(t), [1000]);
    t.receives('ACK', { seq: 1, ack: 1001 }).silent();
    configure(t, { cork: false });
    assert.equal(lengths(t), [200]);
    configure(t.receives('ACK', { seq: 1, ack: 1201 }), { cork: true }).send('late');
    t.sendsAt(200, 'ACK PSH', { data: 'late' });
  });

  test('a close pulls the cork', () => {
    const t = configure(established(), { cork: true }).send('bye').silent();
    t.shutdown().sends('FIN ACK PSH', { data: 'bye' });
  });

  test('a close ends the wait of Nagle, too', () => {
    const t = established({ connect: { nagle: true } }).send('a');
    t.sends('ACK PSH');
    t.send('b').silent();
    t.shutdown().sends('FIN ACK PSH', { data: 'b' });
  });

  test('MUST-17: Nagle can be switched on and off while the connection lives', () => {
    const t = established().send('a');
    t.sends('ACK PSH');
    configure(t, { nagle: true }).send('b').silent();
    configure(t, { nagle: false }).sends('ACK PSH', { data: 'b' });
  });
});

spec('sizes and times', (test) => {
  test('the largest segment: announced, and not exceeded', () => {
    const t = new Trace({ connect: { maxSegment: 700 } }).connect();
    t.sends('SYN', { options: { mss: 700 } });
    t.receives('SYN ACK', { seq: 0, ack: 1, options: { mss: 1000 } }).sends('ACK');
    assert.equal(lengths(t.send(1500)), [700, 700, 100]);
    const live = configure(established(), { maxSegment: 300 }).send(700);
    assert.equal(lengths(live), [300, 300, 100]);
  });

  test('SHLD-6: with an MTU that changes, a SYN announces what the link has when it is made', () => {
    const link = { mtu: 9000 };
    const random = new SeededRandom(1);
    const t = new Trace();
    const stack = createStack({
      addresses: [t.engine],
      get mtu() {
        return link.mtu;
      },
      random: (length) => random.bytes(length),
    });
    const mssOf = (mtu: number) => {
      link.mtu = mtu;
      stack.connect({ remote: { address: t.peer, port: 80 } }, 0);
      return decodeTcpOptions(stack.next(0) ?? new Uint8Array(60), 40, 60).mss;
    };
    assert.equal([mssOf(9000), mssOf(1500), mssOf(1280)], [8960, 1460, 1240]);
  });

  test('MUST-21: the user timeout can be set while data waits (RFC 5482)', () => {
    const t = established().send('abc');
    t.sends('ACK PSH');
    configure(t, { userTimeoutUs: 1_000_000 });
    t.passTo(999);
    takeAll(t);
    assert.is(t.state, 'ESTABLISHED');
    assert.is(t.passTo(1000).ended, 'timeout');
  });

  test('SHLD-11: by default no profile gives up data before a hundred seconds', () => {
    for (const profile of ['finwait', 'linux', 'freebsd'] as const) {
      const t = new Trace({ profile: PROFILES[profile] }).connect();
      t.sends('SYN');
      t.receives('SYN ACK', { seq: 0, ack: 1 }).sends('ACK');
      t.send('abc');
      while (t.state !== 'CLOSED') {
        while (t.next());
        t.passTo(t.stack.nextDeadlineUs() / 1000);
      }
      takeAll(t);
      assert.ok(t.nowUs >= 100_000_000, `${profile}: ${t.nowUs}`);
      assert.is(t.ended, 'timeout');
    }
  });

  test('a larger send buffer takes more at once, a smaller one no less than it has', () => {
    const t = established({ profile: { sendBufferBytes: 100 }, peerWindow: 0 }).send(100);
    const offered = () => t.stack.send(t.id, new Uint8Array(500), 0);
    assert.equal(offered(), { ok: true, value: 0 });
    configure(t, { sendBufferBytes: 300 });
    assert.equal(offered(), { ok: true, value: 200 });
    configure(t, { sendBufferBytes: 50 });
    assert.equal(offered(), { ok: true, value: 0 });
    assert.is(t.info?.unsentBytes, 300);
  });

  test('a larger receive buffer opens the window; a smaller one never takes back what was offered', () => {
    const t = established({ profile: { receiveBufferBytes: 4000, windowShift: 0 } });
    configure(t, { receiveBufferBytes: 20_000 }).receives('ACK', { seq: 1, ack: 1, data: 1000 });
    t.sendsAt(40, 'ACK', { ack: 1001, window: 19_000 });
    configure(t, { receiveBufferBytes: 2000 }).receives('ACK', { seq: 1001, ack: 1, data: 1000 });
    t.sendsAt(80, 'ACK', { ack: 2001, window: 18_000 });
  });

  test('quick ACK: at once, and what waited as well', () => {
    const t = established().receives('ACK', { seq: 1, ack: 1, data: 'abc' }).silent();
    configure(t, { quickAck: true }).sends('ACK', { ack: 4 });
    t.receives('ACK', { seq: 4, ack: 1, data: 'def' }).sends('ACK', { ack: 7 });
  });

  test('FIN-WAIT-2 ends after its time once nobody reads any more', () => {
    const t = finWait1({ connect: { finWait2TimeoutUs: 5_000_000 } });
    t.stack.close(t.id, 0);
    t.receives('ACK', { seq: 1, ack: 2 });
    t.silentUntil(4999);
    assert.is(t.state, 'FIN-WAIT-2');
    assert.is(t.silentUntil(5000).ended, 'closed');
  });

  test('SYNs without any option, of either side', () => {
    const plain = new Trace({ connect: { offerOptions: false } }).connect().sends('SYN');
    assert.is(plain.packet.length, 40);
    const t = listening();
    configure(t, { offerOptions: false });
    assert.is(t.receives('SYN', { seq: 0, options: { mss: 1460 } }).sends('SYN ACK').packet.length, 40);
  });

  test('of what is gone nothing can be set or asked', () => {
    const t = established().abort();
    takeAll(t);
    assert.equal(t.stack.configure(t.id, { ttl: 1 }, 0), { ok: false, reason: 'no-such-connection' });
    assert.is(t.stack.optionsOf(t.id), undefined);
  });
});

spec('half a close', (test) => {
  test('MAY-1: `close` ends both directions at once, `shutdown` only ours', () => {
    const both = established().close();
    both.sends('FIN ACK');
    both.receives('ACK', { seq: 1, ack: 2, data: 'x' }).sends('RST');
    const ours = established().shutdown();
    ours.sends('FIN ACK');
    ours.receives('ACK', { seq: 1, ack: 2, data: 'x' });
    assert.is(ours.read().data, 'x');
  });
});
