/**
 * Segments and calls in any order, in every state: the engine never throws, keeps its promises about numbers and
 * windows, and holds no more than its bounds allow.
 */

import * as assert from 'uvu/assert';
import { SeededRandom } from '../../../daemon/netsim/random.ts';
import type { TcpOptions } from '../../../daemon/wire/tcp-options.ts';
import { spec } from '../../harness.ts';
import { STATES, type Trace } from './trace.ts';

/** In each state. */
const RUNS = Number(process.env.FINWAIT_FUZZ_RUNS ?? 400);
const STEPS = 40;
const FLAGS = [
  'ACK',
  'ACK',
  'ACK',
  'ACK PSH',
  'FIN ACK',
  'SYN',
  'SYN ACK',
  'RST',
  'RST ACK',
  'FIN',
  'URG ACK',
  'SYN FIN',
];
/** Buffers small enough that their bounds are reached. */
const PROFILE = { receiveBufferBytes: 5000, sendBufferBytes: 5000 };

function anyOptions(random: SeededRandom): Partial<TcpOptions> {
  return {
    ...(random.chance(0.3) ? { timestamps: { value: random.below(5000), echo: random.below(5000) } } : {}),
    ...(random.chance(0.2) ? { mss: random.below(2000) } : {}),
    ...(random.chance(0.2) ? { windowScale: random.below(20) } : {}),
    ...(random.chance(0.2) ? { sackPermitted: true } : {}),
  };
}

/** A number near one that matters, or any. */
function near(random: SeededRandom, center: number): number {
  if (random.chance(0.5)) return center;
  if (random.chance(0.8)) return center + random.below(200) - 100;
  return random.below(0x1_0000_0000) | 0;
}

function step(t: Trace, random: SeededRandom): void {
  const { info, stack, id } = t;
  const rcvNxt = ((info?.rcvNxt ?? 0) - (info?.irs ?? 0)) | 0;
  const sndNxt = ((info?.sndNxt ?? 0) - (info?.iss ?? 0)) | 0;
  const kind = random.below(16);
  if (kind < 9) {
    t.receives(FLAGS[random.below(FLAGS.length)] ?? 'ACK', {
      seq: near(random, rcvNxt),
      ack: near(random, random.chance(0.7) ? sndNxt : 1),
      window: random.chance(0.3) ? random.below(3) : random.below(65_536),
      data: random.chance(0.5) ? random.below(2000) : 0,
      options: anyOptions(random),
    });
  } else if (kind === 9) stack.send(id, new Uint8Array(random.below(3000)), t.nowUs);
  else if (kind === 10) stack.receive(id, random.below(5000), t.nowUs);
  else if (kind === 11) closeSomehow(t, random);
  else if (kind === 12) {
    const wrong = t.fromPeer('ACK', { data: 20 });
    wrong[random.below(wrong.length)] = random.below(256);
    stack.input(wrong, t.nowUs);
  } else if (kind === 13 && t.last)
    t.receivesIcmp([3, 3, 4, 11, 12][random.below(5)] ?? 3, random.below(16), { mtu: random.below(1600) });
  else t.nowUs += random.below(random.chance(0.1) ? 100_000_000 : 500_000);
  stack.advance(t.nowUs);
}

function closeSomehow(t: Trace, random: SeededRandom): void {
  const how = random.below(10);
  if (how === 0) t.stack.close(t.id, t.nowUs);
  if (how < 3) t.stack.shutdown(t.id, t.nowUs);
}

/** What must hold after each step. */
function check(t: Trace): void {
  let packets = 0;
  for (let sent = t.next(); sent; sent = t.next()) {
    packets += 1;
    assert.ok(packets < 1000, 'it falls silent');
    assert.ok(sent.packet.length <= 1500, 'no packet is larger than the link');
  }
  assert.ok(t.stack.nextDeadlineUs() > t.nowUs, 'what was due is done');
  const { connections, bufferBytes, timers } = t.stack.usage();
  assert.ok(connections <= 2 && timers <= connections, 'no more connections and timers than there are');
  assert.ok(bufferBytes <= connections * 4 * 8192, `${bufferBytes} bytes are held`);
  const { info } = t;
  if (info === undefined) return;
  assert.ok(((info.sndNxt - info.sndUna) | 0) >= 0, 'SND.UNA is not beyond SND.NXT');
  assert.ok(info.rcvWnd >= 0 && info.rcvWnd <= 65_535, `RCV.WND ${info.rcvWnd}`);
  assert.ok(info.unreadBytes <= 7500, `${info.unreadBytes} octets are unread`);
  const queued = info.unsentBytes + info.unackedBytes;
  assert.ok(info.unsentBytes >= 0 && info.unackedBytes >= 0 && queued <= 5000, `${queued} octets are queued`);
  assert.ok(info.rtoUs >= 200_000 && info.rtoUs <= 120_000_000, `RTO ${info.rtoUs}`);
  assert.ok(info.cwnd === undefined || info.cwnd > 0, `cwnd ${info.cwnd}`);
}

spec('fuzz of segment sequences', (test) => {
  for (const [name, make] of Object.entries(STATES)) {
    test(`${name}: ${RUNS} runs of ${STEPS} steps`, () => {
      const seed = Number(process.env.FINWAIT_SEED ?? Date.now() & 0x7fff_ffff);
      for (let run = 0; run < RUNS; run += 1) {
        const random = new SeededRandom(seed + run);
        const timestamps = random.chance(0.5) ? { timestamps: { value: 1, echo: 0 } } : {};
        const t = make({
          profile: PROFILE,
          peer: { ...timestamps, windowScale: random.below(15), sackPermitted: random.chance(0.5) },
        });
        try {
          for (let i = 0; i < STEPS; i += 1) {
            step(t, random);
            check(t);
          }
          t.stack.abort(t.id, t.nowUs);
          check(t);
          t.all('ended');
          assert.is(t.stack.info(t.id), undefined);
        } catch (error) {
          const what = error instanceof Error ? error.message : error;
          throw new Error(`FINWAIT_SEED=${seed + run} FINWAIT_FUZZ_RUNS=1: ${what}`, { cause: error });
        }
      }
    });
  }
});
