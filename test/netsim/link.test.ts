import * as assert from 'uvu/assert';
import { Link, type LinkOptions } from '../../daemon/netsim/link.ts';
import { SeededRandom } from '../../daemon/netsim/random.ts';
import { decodeIp } from '../../daemon/wire/ip.ts';
import { tcpPacket, V4, V6 } from '../daemon/wire/support.ts';
import { spec } from '../harness.ts';
import { bytesOf, exchange, SECOND_US } from './scene.ts';

function pass(options: LinkOptions, packets: number, bytes = 100) {
  const link = new Link(options, new SeededRandom(1));
  return Array.from({ length: packets }, () => link.pass(new Uint8Array(bytes), 0));
}

const shareOf = (options: LinkOptions, fate: string) =>
  pass(options, 2000).filter((passage) => passage.fate === fate).length / 2000;

spec('a link of the simulation', (test) => {
  test('it loses, doubles and damages about as many as it is told', () => {
    const near = (share: number, wanted: number) => assert.ok(Math.abs(share - wanted) < 0.04, `${share}`);
    near(shareOf({ delayUs: 0, loss: 0.3 }, 'lost'), 0.3);
    near(shareOf({ delayUs: 0, duplicate: 0.3 }, 'duplicated'), 0.3);
    near(shareOf({ delayUs: 0, corrupt: 0.3 }, 'corrupted'), 0.3);
    assert.is(shareOf({ delayUs: 0 }, 'delivered'), 1);
  });

  test('its line takes one packet at a time, and so many may wait', () => {
    const passages = pass({ delayUs: 10, bitsPerSecond: 8_000_000, queueBytes: 450 }, 8);
    assert.equal(
      passages.map(({ arrivals }) => arrivals[0]?.atUs),
      [110, 210, 310, 410, 510, undefined, undefined, undefined],
    );
    assert.is(passages.at(-1)?.fate, 'queue-full');
  });

  test('with a queue half full it marks packets that allow it, and their checksum still fits', () => {
    for (const { a, b } of [V4, V6]) {
      const marks = (trafficClass: number) => {
        const link = new Link(
          { delayUs: 0, bitsPerSecond: 8_000_000, queueBytes: 1000, markBytes: 200 },
          new SeededRandom(1),
        );
        return Array.from({ length: 6 }, () => {
          const fields = { sourcePort: 1, destinationPort: 2, seq: 1, flags: 16, data: new Uint8Array(40) };
          const packet = tcpPacket({ source: a, destination: b, ...fields, trafficClass });
          const { fate, arrivals } = link.pass(packet, 0);
          const ip = decodeIp(arrivals[0]?.packet ?? packet);
          return [fate, ip.ok ? ip.value.trafficClass : ip.reason];
        });
      };
      // DSCP 10, and ECT(0) or not.
      assert.equal(marks(42)[0], ['delivered', 42]);
      assert.equal(marks(42)[5], ['marked', 43]);
      assert.equal(marks(40)[5], ['delivered', 40]);
    }
  });

  test('a packet can be held up so that others overtake it', () => {
    const passages = pass({ delayUs: 10, reorder: 0.5, reorderUs: 1000 }, 100);
    const times = new Set(passages.map(({ arrivals }) => arrivals[0]?.atUs));
    assert.equal(times, new Set([10, 1010]));
  });

  test('a smaller MTU on the way: the sender is told, and everything arrives', () => {
    for (const family of [4, 6] as const) {
      const clientSends = new SeededRandom(5).bytes(100_000);
      const { simulation, server, client } = exchange({
        seed: 1,
        family,
        clientSends,
        link: { delayUs: 1000, mtu: 1280 },
      });
      simulation.run(3600 * SECOND_US);
      assert.ok(Buffer.from(clientSends).equals(bytesOf(server)));
      assert.ok(simulation.host('client').stack.counters.icmpErrorsIn > 0);
      assert.is(client.ended, 'closed');
    }
  });
});
