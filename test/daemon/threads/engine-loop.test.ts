import * as assert from 'uvu/assert';
import { FinwaitError } from '#base/errors.ts';
import { DEFAULT_PROBE_LIMITS } from '#contract';
import type { DeviceState } from '../../../daemon/kernel/host-guard.ts';
import type { Way } from '../../../daemon/kernel/host-tun.ts';
import { EAGAIN, EBADFD, EIO, ENOBUFS } from '../../../daemon/kernel/libc.ts';
import { createStack } from '../../../daemon/tcp/stack.ts';
import { BATCH_PACKETS, EngineLoop, SENT_UNDER_LOAD } from '../../../daemon/threads/engine-loop.ts';
import { spec } from '../../harness.ts';
import { ENGINE, headerOf, PEER } from '../probe/scene.ts';
import { tcpPacket } from '../wire/support.ts';

const SYN_ONLY = 0x02;

/** A loop over a device whose packets go nowhere, and a clock that is set by hand. */
function loopWith({
  write = (packet: Uint8Array) => packet.length,
  read = (_into: Uint8Array) => 0,
  way = { kind: 'local' } as Way,
  look = (): DeviceState => ({ kind: 'intact' }),
}: {
  write?: (packet: Uint8Array) => number;
  read?: (into: Uint8Array) => number;
  way?: Way;
  look?: () => DeviceState;
} = {}) {
  const clock = { us: 1_000_000 };
  const drops = { count: 0 };
  const written: Uint8Array[] = [];
  let seed = 0;
  const loop = new EngineLoop({
    device: {
      device: 'finwait7',
      look,
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

  test('does not run a probe whose way the kernel could not be asked for, and does not blame the target', () => {
    const condition = { code: 'NETLINK_FAILED', message: 'no answer', hint: 'again' } as const;
    const { loop, clock, written, start } = loopWith({ way: { kind: 'unknown', condition } });
    start();
    const [outcome] = loop.turn(clock.us);
    assert.is(outcome?.result.verdict, 'aborted');
    assert.is(outcome?.result.sentence, 'not probed: no answer');
    assert.equal(outcome?.condition, condition);
    assert.equal(written, []);
    const { probes_not_run, probes_unreachable } = loop.counters();
    assert.equal([probes_not_run, probes_unreachable], [1, 0]);
  });

  test('marks the probes under way when the device was not as it should be', () => {
    let state: DeviceState = { kind: 'intact' };
    const { loop, clock, start } = loopWith({ look: () => state });
    start(100);
    loop.turn(clock.us);
    state = { kind: 'restored' };
    clock.us += 100_000;
    const [outcome] = loop.turn(clock.us);
    assert.is(outcome?.result.tainted, 'device-changed');
    state = { kind: 'intact' };
    start(100);
    loop.turn(clock.us);
    clock.us += 100_000;
    assert.is(loop.turn(clock.us)[0]?.result.tainted, undefined);
  });

  test('ends the probes under way, and begins no other, while the device cannot be set right', () => {
    const condition = { code: 'TUN_CHANGED', message: 'it is down', hint: 'leave it alone' } as const;
    let state: DeviceState = { kind: 'intact' };
    const { loop, clock, start } = loopWith({ look: () => state });
    start();
    loop.turn(clock.us);
    state = { kind: 'broken', condition };
    const [ended] = loop.turn(clock.us);
    assert.equal([ended?.result.verdict, ended?.result.tainted], ['aborted', 'device-changed']);
    start();
    const [notRun] = loop.turn(clock.us);
    assert.equal([notRun?.result.verdict, notRun?.condition], ['aborted', condition]);
    state = { kind: 'intact' };
    loop.turn(clock.us);
    start(100);
    loop.turn(clock.us);
    clock.us += 100_000;
    assert.is(loop.turn(clock.us)[0]?.result.verdict, 'filtered');
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

  test('says that the device was taken away, and gives up what was under way', () => {
    const device = { lost: false };
    const { loop, clock, start } = loopWith({ read: () => (device.lost ? -EBADFD : 0) });
    start();
    loop.turn(clock.us);
    device.lost = true;
    assert.throws(
      () => loop.turn(clock.us),
      (error: unknown) => error instanceof FinwaitError && error.code === 'TUN_LOST',
    );
    loop.abortAll();
    assert.equal(
      loop.results().map(({ result }) => result.verdict),
      ['aborted'],
    );
  });

  test('ends with a clear word when the device fails', () => {
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

  test('sends little as long as more waits to be taken, and then all', () => {
    const stray = tcpPacket({
      source: PEER[4],
      destination: ENGINE[4],
      sourcePort: 1,
      destinationPort: 1,
      seq: 0,
      flags: SYN_ONLY,
    });
    let waiting = BATCH_PACKETS + 10;
    const { loop, clock, written } = loopWith({
      read: (into) => {
        if (waiting === 0) return 0;
        waiting--;
        into.set(stray);
        return stray.length;
      },
    });
    loop.turn(clock.us);
    assert.is(written.length, SENT_UNDER_LOAD);
    loop.turn(clock.us);
    assert.is(written.length, BATCH_PACKETS + 10);
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
