import fc from 'fast-check';
import * as assert from 'uvu/assert';
import { CONNTRACK_TCP_STATES, STATUS } from '../../../daemon/netlink/ctnetlink.ts';
import type { NatRow } from '../../../daemon/track/source-nat.ts';
import { sourceNatUses } from '../../../daemon/track/source-nat.ts';
import { parseIpAddress } from '../../../daemon/wire/address.ts';
import { spec, testSeed } from '../../harness.ts';

const MASQUERADE = '192.0.2.1';

interface Drawn {
  readonly source: string;
  readonly as?: string;
  readonly to?: string;
  readonly port?: number;
  readonly state?: (typeof CONNTRACK_TCP_STATES)[number];
  readonly translated?: boolean;
}

function bytesOf(text: string): Uint8Array {
  const address = parseIpAddress(text);
  if (!address.ok) throw new Error(address.reason);
  return address.value.bytes;
}

function row({
  source,
  as = MASQUERADE,
  to = '198.51.100.7',
  port = 443,
  state = 'ESTABLISHED',
  translated = true,
}: Drawn): NatRow {
  return {
    source: bytesOf(source),
    replySource: bytesOf(to),
    replySourcePort: port,
    replyDestination: bytesOf(as),
    state: CONNTRACK_TCP_STATES.indexOf(state),
    status: translated ? STATUS.sourceNat : 0,
  };
}

const usesOf = (...rows: readonly Drawn[]) => sourceNatUses((visit) => rows.map(row).forEach(visit));

spec('ports of source NAT', (test) => {
  test('are counted for each address and destination, with who used most', () => {
    const { uses, folded } = usesOf(
      { source: '10.244.1.5' },
      { source: '10.244.1.5', state: 'TIME_WAIT' },
      { source: '10.244.1.6', state: 'CLOSE' },
      { source: '10.244.1.6', port: 80 },
      { source: '2001:db8:1::1', as: '2001:db8::1', to: '2001:db8:9::9' },
    );
    assert.is(folded, 0);
    assert.equal(uses[0], {
      address: MASQUERADE,
      destination: { address: '198.51.100.7', port: 443 },
      used: 3,
      usable: 64_512,
      usableBasis: 'assumed',
      waiting: 2,
      consumers: [
        { source: '10.244.1.5', count: 2 },
        { source: '10.244.1.6', count: 1 },
      ],
    });
    assert.equal(uses.map(({ address }) => address).sort(), ['192.0.2.1', '192.0.2.1', '2001:db8::1']);
  });

  test('are taken also by flows that the address has of its own, and by nobody where nothing is translated', () => {
    const own = { source: MASQUERADE, translated: false };
    assert.is(usesOf({ source: '10.244.1.5' }, own, own).uses[0]?.used, 3);
    assert.equal(usesOf(own, own), { uses: [], folded: 0 });
  });

  test('are exact for the destinations with most, however many others there are', () => {
    const destinations = fc.array(
      fc.record({
        to: fc.integer({ min: 1, max: 250 }).map((last) => `198.51.100.${last}`),
        port: fc.integer({ min: 1, max: 20 }),
        count: fc.integer({ min: 1, max: 5 }),
        source: fc.constantFrom('10.244.1.5', '10.244.1.6'),
      }),
      { maxLength: 400 },
    );
    fc.assert(
      fc.property(destinations, (drawn) => {
        const flows = drawn.flatMap(({ count, ...flow }) => Array.from({ length: count }, () => flow));
        const counts = new Map<string, number>();
        for (const { to, port } of flows) counts.set(`${to} ${port}`, (counts.get(`${to} ${port}`) ?? 0) + 1);
        const { uses, folded } = usesOf(...flows);
        const expected = [...counts.values()].sort((a, b) => b - a).slice(0, 20);
        assert.equal(
          uses.map(({ used }) => used),
          expected,
        );
        for (const { destination, used } of uses) {
          assert.is(used, counts.get(`${destination.address} ${destination.port}`));
        }
        assert.is(folded + uses.reduce((sum, { used }) => sum + used, 0), flows.length);
      }),
      { seed: testSeed(), numRuns: 100 },
    );
  });
});
