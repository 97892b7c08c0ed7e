/** Profiles: connections as finwait, Linux and FreeBSD make them. What is here was read off those systems. */

import * as assert from 'uvu/assert';
import { SeededRandom } from '../../../daemon/netsim/random.ts';
import type { Profile, ProfileName } from '../../../daemon/tcp/profile.ts';
import { PROFILES } from '../../../daemon/tcp/profiles.ts';
import { createStack } from '../../../daemon/tcp/stack.ts';
import { spec } from '../../harness.ts';
import { V4 } from '../wire/support.ts';
import {
  established,
  listening,
  type Sent,
  synReceived,
  Trace,
  type TraceOptions,
  timeWait,
} from './trace.ts';

const as = (name: ProfileName, changes: Partial<Profile> = {}): TraceOptions => ({
  profile: { ...PROFILES[name], ...changes },
});

/** Option bytes of a packet, IPv4. */
const optionsOf = ({ packet }: Sent) => Buffer.from(packet.subarray(40)).toString('hex');

/** When a SYN that nobody answers is sent again, in seconds, and when it is given up. */
function synTimes(name: ProfileName): { readonly sent: number[]; readonly givenUp: number } {
  const t = new Trace(as(name)).connect();
  const sent: number[] = [];
  while (t.state !== 'CLOSED') {
    while (t.next()) sent.push(t.nowUs / 1e6);
    t.passTo(t.stack.nextDeadlineUs() / 1000);
  }
  return { sent, givenUp: t.nowUs / 1e6 };
}

/** Segments of 1000 octets arrive, one each millisecond; after which of them an ACK leaves at once. */
function ackedAt(name: ProfileName, segments: number): number[] {
  const t = established(as(name));
  const acked: number[] = [];
  for (let i = 0; i < segments; i += 1) {
    t.receives('ACK', { seq: 1 + 1000 * i, ack: 1, data: 1000 });
    t.read();
    if (t.next() !== undefined) acked.push(i + 1);
  }
  return acked;
}

spec('how a SYN looks', (test) => {
  test('finwait and Linux: MSS, SACK permitted, timestamps, NOP, window scale', () => {
    for (const [name, scale] of [
      ['finwait', '03'],
      ['linux', '08'],
    ] as const) {
      const syn = optionsOf(new Trace(as(name)).connect().sends('SYN'));
      assert.match(syn, new RegExp(`^020405b40402080a[0-9a-f]{8}00000000010303${scale}$`), name);
    }
  });

  test('FreeBSD: MSS, NOP, window scale, SACK permitted, timestamps', () => {
    const syn = optionsOf(new Trace(as('freebsd')).connect().sends('SYN'));
    assert.match(syn, /^020405b4010303060402080a[0-9a-f]{8}00000000$/);
  });

  test('what a peer did not offer is left out, and the rest keeps its order', () => {
    const answer = (name: ProfileName) =>
      optionsOf(
        listening(as(name))
          .receives('SYN', { seq: 0, options: { mss: 1460, windowScale: 7 } })
          .sends('SYN ACK'),
      );
    assert.is(answer('linux'), '020405b401030308');
    assert.is(answer('freebsd'), '020405b401030306');
  });

  test('windows: 64 KiB less one, and for Linux as many segments as fit', () => {
    assert.is(new Trace(as('finwait')).connect().sends('SYN').window, 65_535);
    assert.is(new Trace(as('freebsd')).connect().sends('SYN').window, 65_535);
    const linux = new Trace(as('linux')).connect().sends('SYN').window;
    assert.is(linux % 1460, 0);
    assert.ok(linux > 60_000, String(linux));
  });
});

spec('how long a SYN is repeated', (test) => {
  test('finwait: doubled timeouts, three minutes (MUST-23)', () => {
    assert.equal(synTimes('finwait'), { sent: [0, 1, 3, 7, 15, 31, 63, 127], givenUp: 180 });
  });

  test('Linux: four times a second apart, then six doublings', () => {
    const { sent, givenUp } = synTimes('linux');
    assert.equal(sent, [0, 1, 2, 3, 4, 5, 7, 11, 19, 35, 67]);
    assert.is(givenUp, 131);
  });

  test('FreeBSD: 75 seconds', () => {
    assert.is(synTimes('freebsd').givenUp, 75);
  });

  test('SYN,ACKs: Linux five times, FreeBSD three', () => {
    for (const [name, repeats] of [
      ['linux', 5],
      ['freebsd', 3],
    ] as const) {
      const t = synReceived(as(name));
      let sent = 0;
      while (t.state !== 'CLOSED') {
        t.passTo(t.stack.nextDeadlineUs() / 1000);
        while (t.next()) sent += 1;
      }
      assert.is(sent, repeats, name);
    }
  });
});

spec('when segments are acknowledged', (test) => {
  test('finwait and FreeBSD: every second one', () => {
    assert.equal(ackedAt('finwait', 6), [2, 4, 6]);
    assert.equal(ackedAt('freebsd', 6), [2, 4, 6]);
  });

  test('Linux: the first sixteen at once, then every second one', () => {
    assert.equal(ackedAt('linux', 22), [...Array.from({ length: 16 }, (_, at) => at + 1), 18, 20, 22]);
  });
});

spec('other habits', (test) => {
  test('probes of a shut window: an octet, for Linux an old number alone', () => {
    for (const [name, seq, data] of [
      ['finwait', 1, 1],
      ['linux', 0, 0],
      ['freebsd', 1, 1],
    ] as const) {
      const t = established({ ...as(name), peerWindow: 0 })
        .send(10)
        .silent();
      t.passTo(t.stack.nextDeadlineUs() / 1000);
      t.sends('ACK', { seq, data });
    }
  });

  test('TIME-WAIT: a RST ends it on Linux only (RFC 1337)', () => {
    const end = (name: ProfileName) => timeWait(as(name)).receives('RST', { seq: 2, ack: 2 }).state;
    assert.equal([end('finwait'), end('linux'), end('freebsd')], ['TIME-WAIT', 'CLOSED', 'TIME-WAIT']);
  });

  test('a SYN with FIN: only FreeBSD takes it', () => {
    const answered = (name: ProfileName) =>
      listening(as(name)).receives('SYN FIN', { seq: 0 }).next() !== undefined;
    assert.equal([answered('finwait'), answered('linux'), answered('freebsd')], [false, false, true]);
  });

  test('FIN-WAIT-2 ends after a minute on Linux and FreeBSD once nobody reads', () => {
    for (const name of ['linux', 'freebsd'] as const) {
      const t = established(as(name)).close();
      t.sends('FIN ACK');
      t.receives('ACK', { seq: 1, ack: 2 });
      assert.is(t.silentUntil(59_999).state, 'FIN-WAIT-2', name);
      assert.is(t.silentUntil(60_000).ended, 'closed', name);
    }
  });

  test('keepalive is on with FreeBSD, off with the others', () => {
    const on = (name: ProfileName) => {
      const t = established(as(name));
      return t.stack.optionsOf(t.id)?.keepAlive;
    };
    assert.equal([on('finwait'), on('linux'), on('freebsd')], [false, false, true]);
  });

  test('RTO after a first measurement of 100 ms', () => {
    const rto = (name: ProfileName) => {
      const t = new Trace(as(name)).connect();
      t.sends('SYN');
      t.passTo(100).receives('SYN ACK', { seq: 0, ack: 1 }).sends('ACK');
      return (t.info?.rtoUs ?? 0) / 1000;
    };
    // 3 R; R + 200 ms at least; 3 R and the slop.
    assert.equal([rto('finwait'), rto('linux'), rto('freebsd')], [300, 300, 500]);
  });

  test('an unreachable host ends the SYN of Linux, not that of the others', () => {
    const ends = (name: ProfileName, type: number, code: number) => {
      const t = new Trace(as(name)).connect();
      t.sends('SYN');
      return t.receivesIcmp(type, code).ended;
    };
    const all = (type: number, code: number) =>
      (['finwait', 'linux', 'freebsd'] as const).map((name) => ends(name, type, code));
    assert.equal(all(3, 1), [undefined, 'unreachable', undefined]);
    assert.equal(all(11, 0), [undefined, 'unreachable', 'unreachable']);
    assert.equal(all(3, 3), ['unreachable', 'unreachable', 'unreachable']);
  });

  test('a profile that changes holds at once', () => {
    const live: { -readonly [K in keyof Profile]: Profile[K] } = { ...PROFILES.finwait };
    const random = new SeededRandom(1);
    const stack = createStack({
      addresses: [V4.a],
      mtu: 1500,
      random: (length) => random.bytes(length),
      profile: live,
    });
    const ask = () => stack.input(new Trace().fromPeer('SYN', { seq: 0 }), 0);
    ask();
    assert.ok(stack.next(0), 'RST');
    live.blackhole = true;
    ask();
    assert.is(stack.next(0), undefined);
  });
});
