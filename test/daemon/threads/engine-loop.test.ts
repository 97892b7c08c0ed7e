import * as assert from 'uvu/assert';
import { DEFAULT_PROBE_LIMITS } from '#contract';
import type { Way } from '../../../daemon/kernel/host-tun.ts';
import { EAGAIN, EIO, ENOBUFS } from '../../../daemon/kernel/libc.ts';
import { createStack } from '../../../daemon/tcp/stack.ts';
import { EngineLoop } from '../../../daemon/threads/engine-loop.ts';
import { spec } from '../../harness.ts';
import { ENGINE, headerOf, PEER } from '../probe/scene.ts';

const SYN_ONLY = 0x02;

/** A loop over a device whose packets go nowhere, and a clock that is set by hand. */
function loopWith({
  write = (packet: Uint8Array) => packet.length,
  read = () => 0,
  way = { kind: 'local' } as Way,
}: {
  write?: (packet: Uint8Array) => number;
  read?: () => number;
  way?: Way;
} = {}) {
  const clock = { us: 1_000_000 };
  const drops = { count: 0 };
  const written: Uint8Array[] = [];
  let seed = 0;
  const loop = new EngineLoop({
    device: {
      read,
      write(packet) {
        written.push(packet.slice());
        return write(packet);
      },
      way: () => way,
    },
    stack: createStack({
      addresses: [ENGINE[4]],
      mtu: 1500,
      random: (length) => new Uint8Array(length).fill(++seed),
    }),
    nowUs: () => clock.us,
    unixUs: (us) => us,
    deviceDrops: () => drops.count,
  });
  const start = (connectMs = 1000) =>
    loop.start({
      id: 'a',
      target: {
        name: 't',
        host: 't',
        port: 80,
        origin: 'user',
        intervalMs: 1000,
        limits: { ...DEFAULT_PROBE_LIMITS, connectMs },
      },
      address: PEER[4],
    });
  return { loop, clock, drops, written, start };
}

spec('a turn of the engine', (test) => {
  test('sends the SYN in the turn after the start, and waits no longer than the next deadline', () => {
    const { loop, clock, written, start } = loopWith();
    assert.is(loop.nextDeadlineUs(), Number.POSITIVE_INFINITY);
    start(400);
    assert.equal(loop.turn(clock.us), []);
    assert.equal(
      written.map((packet) => headerOf(packet).flags),
      [SYN_ONLY],
    );
    assert.is(loop.nextDeadlineUs(), clock.us + 400_000);
    clock.us += 400_000;
    const [outcome] = loop.turn(clock.us);
    assert.is(outcome?.result.verdict, 'filtered');
    assert.is(outcome?.result.tainted, undefined);
  });

  test('answers at once, and sends nothing, when there is no way to the target', () => {
    const condition = { code: 'FORWARDING_OFF', message: 'no way', hint: 'allow it' } as const;
    const { loop, clock, written, start } = loopWith({ way: { kind: 'none', condition } });
    start();
    const [outcome] = loop.turn(clock.us);
    assert.is(outcome?.result.verdict, 'unreachable');
    assert.is(outcome?.result.sentence, 'no way');
    assert.equal(outcome?.condition, condition);
    assert.equal(written, []);
    assert.is(loop.counters().probes_unreachable, 1);
  });

  test('marks the probes under way when it comes too late', () => {
    const { loop, clock, start } = loopWith();
    start(400);
    loop.turn(clock.us);
    const dueUs = clock.us + 100_000;
    clock.us = dueUs + 50_000;
    loop.turn(dueUs);
    clock.us += 400_000;
    const [outcome] = loop.turn(clock.us);
    assert.is(outcome?.result.tainted, 'loop-lag');
    assert.is(loop.counters().engine_turns_late, 1);
  });

  test('marks a probe when the device dropped packets while it ran, not one that came later', () => {
    const { loop, clock, drops, start } = loopWith();
    start(100);
    loop.turn(clock.us);
    drops.count = 3;
    clock.us += 100_000;
    assert.is(loop.turn(clock.us)[0]?.result.tainted, 'queue-drop');
    start(100);
    loop.turn(clock.us);
    clock.us += 100_000;
    assert.is(loop.turn(clock.us)[0]?.result.tainted, undefined);
    assert.is(loop.counters().tun_queue_drops, 3);
  });

  for (const [errno, counter] of [
    [EAGAIN, 'tun_writes_without_room'],
    [ENOBUFS, 'tun_writes_without_room'],
    [EIO, 'tun_writes_failed'],
  ] as const) {
    test(`counts a packet the device does not take (errno ${errno}) and marks the probe`, () => {
      const { loop, clock, start } = loopWith({ write: () => -errno });
      start(100);
      loop.turn(clock.us);
      assert.is(loop.counters()[counter], 1);
      assert.is(loop.counters().tun_packets_written, 0);
      clock.us += 100_000;
      assert.is(loop.turn(clock.us)[0]?.result.tainted, 'queue-drop');
    });
  }

  test('ends with a clear word when the device is gone', () => {
    const { loop, clock } = loopWith({ read: () => -EIO });
    assert.throws(() => loop.turn(clock.us), /reading from the TUN device failed/);
  });

  test('takes a bounded batch from a device that never runs dry', () => {
    let reads = 0;
    const { loop, clock } = loopWith({
      read: () => {
        reads++;
        return 1;
      },
    });
    loop.turn(clock.us);
    assert.ok(reads <= 256, String(reads));
    assert.is(loop.counters().tun_packets_read, reads);
  });

  test('names what the stack counts', () => {
    const counters = loopWith().loop.counters();
    assert.is(counters.tcp_segments_in, 0);
    assert.is(counters.probes_started, 0);
    for (const [name, value] of Object.entries(counters)) {
      assert.match(name, /^[a-z][a-z0-9_]*$/);
      assert.type(value, 'number', name);
    }
  });
});
