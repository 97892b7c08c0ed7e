import fc from 'fast-check';
import * as assert from 'uvu/assert';
import type { Endpoint } from '#contract';
import { CONNTRACK_TCP_STATES, STATUS } from '../../../daemon/netlink/ctnetlink.ts';
import { SeededRandom } from '../../../daemon/netsim/random.ts';
import type { PortUse, PressingSocket, PressingSockets } from '../../../daemon/track/port-pressure.ts';
import * as numbered from '../../../daemon/track/port-pressure.ts';
import type { PortRules } from '../../../daemon/track/port-rules.ts';
import { assignablePorts, isAssignable, portRulesOf } from '../../../daemon/track/port-rules.ts';
import { PortTrends } from '../../../daemon/track/port-trends.ts';
import { Pressure } from '../../../daemon/track/pressure.ts';
import { parseIpAddress } from '../../../daemon/wire/address.ts';
import { spec, testSeed } from '../../harness.ts';

const RULES: PortRules = { low: 40_000, high: 40_099, reserved: [], twReuse: 0, twReuseDelayMs: 1_000 };
const NOW_MS = 100_000;

/** A socket as a person tells of it. */
interface Told extends Omit<PressingSocket, 'row' | 'localPort' | 'towards' | 'onLoopback'> {
  readonly local: Endpoint;
  readonly peer: Endpoint;
}

/** The same as numbers. */
function numbersOf(sockets: readonly Told[]): PressingSockets {
  const destinations = new Map<string, number>();
  const isLoopback = ({ address }: Endpoint) => address === '::1' || address.startsWith('127.');
  return {
    pressing: () =>
      sockets.map((each, row) => {
        const { local, peer } = each;
        const destination = `${local.address} ${peer.address} ${peer.port}`;
        const towards = destinations.getOrInsertComputed(destination, () => destinations.size);
        const onLoopback = isLoopback(local) || isLoopback(peer);
        return { ...each, row, localPort: local.port, towards, onLoopback };
      }),
    endsOf: (row) => {
      const { local, peer } = sockets[row] as Told;
      return { source: local.address, destination: peer };
    },
  };
}

function portUses(sockets: readonly Told[], rules: PortRules, nowMs: number): PortUse[] {
  return numbered.portUses(numbersOf(sockets), rules, nowMs);
}

function socket(port: number, changes: Partial<Told> = {}): Told {
  return {
    local: { address: '10.0.0.1', port },
    peer: { address: '10.0.0.2', port: 443 },
    state: 'ESTABLISHED',
    sinceMs: 0,
    direction: 'outbound',
    bindAddressNoPort: false,
    ...changes,
  };
}

/** As connect(2) gives them: at an even distance from the lowest. */
function connected(count: number, changes: Partial<Told> = {}): Told[] {
  return Array.from({ length: count }, (_, index) => socket(40_000 + 2 * index, changes));
}

function only(uses: readonly PortUse[]): PortUse {
  const [use] = uses;
  if (use === undefined || uses.length > 1) throw new Error(`${uses.length} destinations`);
  return use;
}

spec('port pressure', (test) => {
  test('is told apart by source address, destination address and port', () => {
    const other = { address: '10.0.0.3', port: 443 };
    const uses = portUses(
      [
        ...connected(3),
        socket(40_000, { peer: other }),
        socket(40_000, { local: { address: '10.0.0.9', port: 40_000 } }),
        socket(40_002, { peer: { address: '10.0.0.2', port: 444 } }),
      ],
      RULES,
      NOW_MS,
    );
    assert.equal(
      uses.map(
        ({ source, destination, used }) => `${source} ${destination.address}:${destination.port} ${used}`,
      ),
      [
        '10.0.0.1 10.0.0.2:443 3',
        '10.0.0.1 10.0.0.3:443 1',
        '10.0.0.9 10.0.0.2:443 1',
        '10.0.0.1 10.0.0.2:444 1',
      ],
    );
    assert.ok(uses.every(({ usable }) => usable === 100));
  });

  test('does not count ports that the kernel gives to nobody: out of range, reserved', () => {
    const reserved = [{ from: 40_002, to: 40_005 }];
    const sockets = [socket(39_999), socket(40_000), socket(40_002), socket(40_100)];
    const use = only(portUses(sockets, { ...RULES, reserved }, NOW_MS));
    assert.equal([use.used, use.usable], [1, 96]);
  });

  test('counts TIME-WAIT as used, unless the kernel gives its port to a new connection', () => {
    const waiting = [
      socket(40_000, { state: 'TIME-WAIT', sinceMs: NOW_MS - 1_000 }),
      socket(40_002, { state: 'TIME-WAIT', sinceMs: NOW_MS - 1_001 }),
      socket(40_004),
    ];
    const figures = (rules: Partial<PortRules>, sockets = waiting) => {
      const { used, timeWait, reusable } = only(portUses(sockets, { ...RULES, ...rules }, NOW_MS));
      return [used, timeWait, reusable];
    };
    assert.equal(figures({ twReuse: 0 }), [3, 2, 0]);
    assert.equal(figures({ twReuse: 1 }), [2, 1, 1]);
    assert.equal(figures({ twReuse: 1, twReuseDelayMs: 5_000 }), [3, 2, 0]);
    assert.equal(figures({ twReuse: 2 }), [3, 2, 0], 'on loopback alone');
    const loopback = waiting.map((each) => ({ ...each, peer: { address: '127.0.0.1', port: 443 } }));
    assert.equal(figures({ twReuse: 2 }, loopback), [2, 1, 1]);
  });

  test('takes the ports of listeners and of what they accepted from every destination', () => {
    const sockets = [
      ...connected(2),
      socket(40_050, { state: 'LISTEN', direction: 'inbound' }),
      socket(40_050, { direction: 'inbound', peer: { address: '10.0.0.8', port: 50_000 } }),
      socket(40_060, { state: 'CLOSED' }),
    ];
    assert.is(only(portUses(sockets, RULES, NOW_MS)).usable, 98);
  });

  test('takes ports that were bound before they connected from the other destinations', () => {
    const bound = [1, 3, 5].map((distance) => socket(40_000 + distance));
    const elsewhere = { peer: { address: '10.0.0.3', port: 443 } };
    const [first, second] = portUses([...bound, ...connected(2, elsewhere)], RULES, NOW_MS);
    assert.equal([first?.used, first?.usable, first?.bound], [3, 100, 3]);
    assert.equal([second?.used, second?.usable, second?.bound], [2, 97, 0]);
  });

  test('knows ports of sockets with IP_BIND_ADDRESS_NO_PORT, and of those that found no even one, for what they are', () => {
    const late = [1, 3, 5].map((distance) => socket(40_000 + distance, { bindAddressNoPort: true }));
    assert.is(only(portUses(late, RULES, NOW_MS)).bound, 0);
    const unknown = [1, 3].map((distance) => socket(40_000 + distance, { bindAddressNoPort: undefined }));
    assert.is(only(portUses(unknown, RULES, NOW_MS)).bound, 0);
    const full = [...connected(50), ...[1, 3, 5].map((distance) => socket(40_000 + distance))];
    const use = only(portUses(full, RULES, NOW_MS));
    assert.equal([use.used, use.usable, use.bound], [53, 100, 0]);
  });

  test('never tells more used than usable, and nothing that no socket has', () => {
    const anySocket = fc.record({
      port: fc.integer({ min: 39_995, max: 40_030 }),
      source: fc.constantFrom('10.0.0.1', '127.0.0.1', '2001:db8::1'),
      peerPort: fc.constantFrom(80, 443),
      state: fc.constantFrom(
        'ESTABLISHED' as const,
        'TIME-WAIT' as const,
        'LISTEN' as const,
        'CLOSE-WAIT' as const,
      ),
      direction: fc.constantFrom('inbound' as const, 'outbound' as const),
      noPort: fc.constantFrom(true, false, undefined),
      sinceMs: fc.integer({ min: 0, max: NOW_MS }),
    });
    const rules = fc.record({
      low: fc.constant(40_000),
      high: fc.integer({ min: 40_000, max: 40_025 }),
      reserved: fc.constantFrom([], [{ from: 40_003, to: 40_009 }]),
      twReuse: fc.integer({ min: 0, max: 2 }),
      twReuseDelayMs: fc.constant(1_000),
    });
    fc.assert(
      fc.property(
        fc.uniqueArray(anySocket, { selector: (each) => `${each.port} ${each.source} ${each.peerPort}` }),
        rules,
        (drawn, set) => {
          const sockets = drawn.map(({ port, source, peerPort, noPort, ...rest }) =>
            socket(port, {
              ...rest,
              local: { address: source, port },
              peer: { address: '10.0.0.2', port: peerPort },
              bindAddressNoPort: noPort,
            }),
          );
          const uses = portUses(sockets, set, NOW_MS);
          const counted = uses.reduce((sum, { used, reusable }) => sum + used + reusable, 0);
          const outgoing = sockets.filter(
            ({ state, direction, local }) =>
              state !== 'LISTEN' && direction === 'outbound' && isAssignable(set, local.port),
          );
          assert.is(counted, outgoing.length);
          for (const use of uses) {
            assert.ok(use.used <= use.usable && use.timeWait + use.bound <= use.used, JSON.stringify(use));
          }
        },
      ),
      { seed: testSeed(), numRuns: 2_000 },
    );
  });
});

spec('the ports that may be given', (test) => {
  test('are those of the range but for the reserved, and one less of a range of an odd number', () => {
    assert.is(assignablePorts(portRulesOf({})), 28_232);
    assert.is(assignablePorts({ ...RULES, high: 40_100 }), 100);
    assert.is(
      assignablePorts({
        ...RULES,
        reserved: [
          { from: 39_000, to: 40_009 },
          { from: 40_099, to: 40_099 },
        ],
      }),
      89,
    );
    assert.is(assignablePorts({ ...RULES, high: 40_000 }), 1);
  });

  test('are as many as are found by asking for each, whatever is reserved', () => {
    const port = fc.integer({ min: 39_990, max: 40_110 });
    const range = fc
      .tuple(port, fc.integer({ min: 0, max: 30 }))
      .map(([from, more]) => ({ from, to: from + more }));
    fc.assert(
      fc.property(fc.array(range), fc.integer({ min: 0, max: 99 }), (reserved, last) => {
        const rules = { ...RULES, high: RULES.low + last, reserved };
        const searched = last === 0 ? 1 : 2 * Math.floor((last + 1) / 2);
        const ports = Array.from({ length: searched }, (_, at) => RULES.low + at);
        assert.is(assignablePorts(rules), ports.filter((each) => isAssignable(rules, each)).length);
      }),
      { seed: testSeed(), numRuns: 1_000 },
    );
  });
});

spec('the trend of ports', (test) => {
  test('tells nothing before ten seconds, then the rise per minute and when none is left', () => {
    const trends = new PortTrends();
    const at = (seconds: number, used: number) => {
      const forecast = trends.forecast('a', used, 100, seconds * 1_000);
      trends.endRound();
      return forecast;
    };
    assert.equal(at(0, 10), {});
    assert.equal(at(9, 19), {});
    assert.equal(at(10, 20), { perMinute: 60, exhaustedInMs: 80_000 });
    assert.equal(at(20, 20), { perMinute: 30, exhaustedInMs: 160_000 });
    assert.equal(at(30, 5), { perMinute: -10 });
    assert.equal(at(40, 100), { perMinute: 135, exhaustedInMs: 0 });
  });

  test('is told also where the looks are more than a minute apart', () => {
    const trends = new PortTrends();
    const at = (seconds: number, used: number) => {
      const forecast = trends.forecast('a', used, 1_000, seconds * 1_000);
      trends.endRound();
      return forecast.perMinute;
    };
    assert.equal([at(0, 0), at(90, 30), at(180, 90), at(270, 90)], [undefined, 20, 40, 0]);
  });

  test('is of the last minute, and forgets what a round has no reading of', () => {
    const trends = new PortTrends();
    for (let seconds = 0; seconds <= 120; seconds += 5) {
      trends.forecast('a', seconds <= 60 ? 0 : seconds - 60, 1_000, seconds * 1_000);
      trends.endRound();
    }
    assert.is(trends.forecast('a', 60, 1_000, 120_000).perMinute, 60);
    trends.endRound();
    trends.endRound();
    assert.equal(trends.forecast('a', 60, 1_000, 180_000), {});
  });
});

spec('the pressure of a report', (test) => {
  test('has the largest part used first, and counts what has no room', () => {
    const pressure = new Pressure();
    const namespaces = [
      {
        inode: 1,
        own: true,
        sockets: numbersOf(
          Array.from({ length: 30 }, (_, index) =>
            socket(40_000, { peer: { address: '10.0.0.2', port: 1 + index } }),
          ),
        ),
        numbers: { settings: { portRange: { from: 40_000, to: 40_099 } }, pressed: true },
      },
      {
        inode: 2,
        pod: { uid: 'aaaa' },
        sockets: numbersOf(connected(5)),
        numbers: { settings: { portRange: { from: 40_000, to: 40_009 } }, pressed: false },
      },
    ];
    const { destinations, folded } = pressure.ports(namespaces, () => {}, NOW_MS);
    assert.equal([destinations.length, folded], [20, 11]);
    const [worst] = destinations;
    assert.equal([worst?.pod, worst?.used, worst?.usable], [{ uid: 'aaaa' }, 5, 10]);
    assert.equal([worst?.netns, destinations[1]?.netns], [undefined, undefined], 'of a pod, and our own');
    assert.equal(
      namespaces.map(({ numbers }) => numbers.pressed),
      [false, false],
    );
  });

  test('names the network namespace of others that no pod is known of', () => {
    const numbers = { settings: { portRange: { from: 40_000, to: 40_099 } }, pressed: false };
    const sockets = numbersOf(connected(5));
    const namespaces = [
      { inode: 1, own: true, sockets, numbers },
      { inode: 2, sockets, numbers },
      { inode: 3, pod: { uid: 'aaaa' }, sockets, numbers },
    ];
    const { destinations } = new Pressure().ports(namespaces, () => {}, NOW_MS);
    assert.equal(
      destinations.map(({ netns, pod }) => netns ?? pod?.uid),
      [undefined, 2, 'aaaa'],
    );
  });

  test('asks for the addresses of no more destinations than are followed', () => {
    const sockets = numbersOf(
      Array.from({ length: 5_000 }, (_, at) => socket(40_000, { peer: { address: '10.0.0.2', port: at } })),
    );
    let asked = 0;
    const endsOf = (row: number) => {
      asked++;
      return sockets.endsOf(row);
    };
    const numbers = { settings: { portRange: { from: 40_000, to: 40_099 } }, pressed: false };
    const namespaces = [{ inode: 1, own: true, sockets: { ...sockets, endsOf }, numbers }];
    const { folded } = new Pressure().ports(namespaces, () => {}, NOW_MS);
    assert.equal([folded, asked], [4_980, 200]);
  });

  test('is of the two hundred worst of any number of destinations, in order', () => {
    const random = new SeededRandom(testSeed());
    const namespaces = Array.from({ length: 4 }, (_, inode) => {
      const sockets = Array.from({ length: 3_000 }, () => {
        const peer = { address: '10.0.0.2', port: 1 + Math.floor(random.next() ** 2 * 1_000) };
        return socket(40_000 + random.below(100), { peer });
      });
      return {
        inode,
        told: sockets,
        sockets: numbersOf(sockets),
        numbers: { settings: { portRange: { from: 40_000, to: 40_099 } }, pressed: false },
      };
    });
    const parts = (uses: readonly PortUse[]) => uses.map(({ used, usable }) => used / usable);
    const all = namespaces.flatMap(({ told, numbers }) =>
      parts(portUses(told, portRulesOf(numbers.settings), NOW_MS)),
    );
    const { destinations, folded } = new Pressure().ports(namespaces, () => {}, NOW_MS);
    assert.equal(parts(destinations), all.sort((a, b) => b - a).slice(0, 20));
    assert.is(folded, all.length - 20);
  });

  test('says in which namespaces settings may be about to change', () => {
    const numbers = { settings: { portRange: { from: 40_000, to: 40_009 } }, pressed: false };
    const pressure = new Pressure();
    const lookAt = (used: number) => {
      const sockets = Array.from({ length: used }, (_, index) => socket(40_000 + index));
      pressure.ports([{ inode: 1, sockets: numbersOf(sockets), numbers }], () => {}, NOW_MS);
      return numbers.pressed;
    };
    assert.equal([lookAt(7), lookAt(6)], [true, false]);
  });

  test('names the pods whose addresses use source NAT, unless several have the same address', () => {
    const numbers = { settings: { portRange: { from: 40_000, to: 40_099 } }, pressed: false };
    const from = (...all: readonly string[]) =>
      numbersOf(all.map((address) => socket(40_000, { local: { address, port: 40_000 } })));
    const namespaces = [
      { inode: 1, sockets: from('10.244.1.1'), numbers },
      { inode: 2, pod: { uid: 'aaaa' }, sockets: from('10.244.1.5'), numbers },
      { inode: 3, pod: { uid: 'bbbb' }, sockets: from('10.244.1.6', '127.0.0.1'), numbers },
      { inode: 4, pod: { uid: 'cccc' }, sockets: from('127.0.0.1'), numbers },
    ];
    const rows = ['10.244.1.1', '10.244.1.5', '10.244.1.6', '127.0.0.1', '10.244.9.9'].map((source) => ({
      source: bytesOf(source),
      replySource: bytesOf('198.51.100.7'),
      replySourcePort: 443,
      replyDestination: bytesOf('192.0.2.1'),
      state: CONNTRACK_TCP_STATES.indexOf('ESTABLISHED'),
      status: STATUS.sourceNat,
    }));
    const pressure = new Pressure();
    pressure.ports(namespaces, () => {}, NOW_MS);
    const told = pressure.sourceNat((visit) => rows.forEach(visit), NOW_MS);
    assert.equal(told?.destinations[0]?.consumers.map(({ source, pod }) => [source, pod?.uid]).sort(), [
      ['10.244.1.1', undefined],
      ['10.244.1.5', 'aaaa'],
      ['10.244.1.6', 'bbbb'],
      ['10.244.9.9', undefined],
      ['127.0.0.1', undefined],
    ]);
  });
});

function bytesOf(text: string): Uint8Array {
  const address = parseIpAddress(text);
  if (!address.ok) throw new Error(address.reason);
  return address.value.bytes;
}
