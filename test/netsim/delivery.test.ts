/** Whatever the network does, the bytes arrive once and in order, both ends close, and nothing is left behind. */

import * as assert from 'uvu/assert';
import type { LinkOptions } from '../../daemon/netsim/link.ts';
import { SeededRandom } from '../../daemon/netsim/random.ts';
import type { Profile } from '../../daemon/tcp/profile.ts';
import { PROFILES } from '../../daemon/tcp/profiles.ts';
import { spec } from '../harness.ts';
import { bytesOf, exchange, type Scene, SECOND_US } from './scene.ts';

const SEEDS = Number(process.env.FINWAIT_NETSIM_SEEDS ?? 10_000);
const HOUR_US = 3600 * SECOND_US;
const NOTHING_HELD = { connections: 0, listeners: 0, timers: 0, bufferBytes: 0, queuedReplies: 0 };

/** A network that may lose, double, hold up and damage packets, and take few or small ones. */
function anyLink(random: SeededRandom): LinkOptions {
  const sometimes = (most: number) => (random.chance(0.5) ? random.next() * most : 0);
  return {
    delayUs: random.below(100_000),
    jitterUs: random.chance(0.5) ? random.below(20_000) : 0,
    loss: sometimes(0.15),
    duplicate: sometimes(0.1),
    reorder: sometimes(0.3),
    reorderUs: random.below(50_000),
    corrupt: sometimes(0.05),
    ...(random.chance(0.3) ? { bitsPerSecond: 100_000 + random.below(10_000_000), queueBytes: 20_000 } : {}),
    ...(random.chance(0.3) ? { mtu: 1280 + random.below(200) } : {}),
  };
}

/** Any of the systems, with any of their extensions off. */
function anyProfile(random: SeededRandom): Profile {
  const base = PROFILES[(['finwait', 'linux', 'freebsd'] as const)[random.below(3)] ?? 'finwait'];
  const mostly = () => random.chance(0.8);
  return {
    ...base,
    offerSack: mostly(),
    offerTimestamps: mostly(),
    windowShift: mostly() ? base.windowShift : undefined,
    ecn: (['off', 'passive', 'on'] as const)[random.below(3)] ?? 'off',
    congestion: random.chance(0.5) ? 'newreno' : 'cubic',
    receiveBufferBytes: mostly() ? base.receiveBufferBytes : 3000 + random.below(20_000),
    sendBufferBytes: mostly() ? base.sendBufferBytes : 2000 + random.below(20_000),
    // Giving up after so many seconds is another test's subject.
    retries: undefined,
    synRetries: undefined,
    synAckRetries: undefined,
    handshakeTimeoutUs: HOUR_US,
    userTimeoutUs: HOUR_US,
  };
}

function run(seed: number): Scene & { readonly clientSends: Uint8Array; readonly serverSends: Uint8Array } {
  const random = new SeededRandom(seed);
  const clientSends = random.bytes(random.below(random.chance(0.2) ? 200_000 : 20_000));
  const serverSends = random.bytes(random.below(20_000));
  const closesLast = (['client', 'server', undefined] as const)[random.below(3)];
  const family = random.chance(0.5) ? 4 : 6;
  const scene = exchange({
    seed,
    link: anyLink(random),
    family,
    profiles: { client: anyProfile(random), server: anyProfile(random) },
    clientSends,
    serverSends,
    ...(closesLast === undefined ? {} : { closesLast }),
  });
  scene.simulation.run(HOUR_US);
  return { ...scene, clientSends, serverSends };
}

spec('two engines over a network that fails', (test) => {
  const sure = async () => {
    for (let seed = 1; seed <= SEEDS; seed += 1) {
      // The harness takes a loop that never lets go for a hang.
      if (seed % 500 === 0) await new Promise(setImmediate);
      const { client, server, clientSends, serverSends, simulation } = run(seed);
      const say = (what: string) => `seed ${seed}: ${what}`;
      assert.ok(Buffer.from(clientSends).equals(bytesOf(server)), say('client to server'));
      assert.ok(Buffer.from(serverSends).equals(bytesOf(client)), say('server to client'));
      assert.ok(client.eof && server.eof, say('both saw the end of the stream'));
      assert.is(client.ended, 'closed', say('client'));
      assert.is(server.ended, 'closed', say('server'));
      for (const { name, stack } of simulation.hosts) {
        const listeners = name === 'server' ? 1 : 0;
        assert.equal(stack.usage(), { ...NOTHING_HELD, listeners }, say(`${name} holds nothing`));
        assert.is(stack.nextDeadlineUs(), Number.POSITIVE_INFINITY, say(`${name} has no timer`));
      }
    }
  };
  test(`${SEEDS} seeds: every byte arrives once and in order, and both ends close`, sure, {
    timeoutMs: 60_000 + 30 * SEEDS,
  });

  test('the same seed gives the same run', () => {
    for (const seed of [3, 77]) {
      const runs = [run(seed), run(seed)].map(({ simulation, client, server }) => ({
        counters: simulation.hosts.map(({ stack }) => stack.counters),
        states: [client.states, server.states],
        retransmissions: [client.retransmissions, server.retransmissions],
      }));
      assert.equal(runs[0], runs[1]);
    }
  });
});
