import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import * as assert from 'uvu/assert';
import type { Divergence, Endpoint, TcpStateName } from '#contract';
import { CONNTRACK_TCP_STATES } from '../../../daemon/netlink/ctnetlink.ts';
import type { ComparedFlow, ComparedSocket } from '../../../daemon/track/divergence.ts';
import { Comparison } from '../../../daemon/track/divergence.ts';
import { ipFromBytes, parseIpAddress } from '../../../daemon/wire/address.ts';
import { spec, testSeed } from '../../harness.ts';

const HOST = '192.0.2.1';
const PEER = '192.0.2.9';
const OWN_MARK = 7;

function endOf(text: string): Endpoint {
  const colon = text.lastIndexOf(':');
  return { address: text.slice(0, colon), port: Number(text.slice(colon + 1)) };
}

function socket(
  local: string,
  peer: string,
  state: TcpStateName = 'ESTABLISHED',
  sinceMs = 0,
  sinceIsExact = true,
): ComparedSocket {
  return { local: endOf(local), peer: endOf(peer), state, sinceMs, sinceIsExact };
}

interface DrawnFlow {
  readonly reply?: readonly [source: string, destination: string];
  readonly state?: (typeof CONNTRACK_TCP_STATES)[number];
  readonly mark?: number;
  readonly sinceMs?: number;
  readonly sinceBasis?: ComparedFlow['sinceBasis'];
  readonly expiresMs?: number;
  readonly toldMs?: number;
}

function flow(source: string, destination: string, drawn: DrawnFlow = {}): ComparedFlow {
  const {
    reply = [destination, source],
    state = 'ESTABLISHED',
    mark = 0,
    sinceMs = 0,
    sinceBasis = 'event',
    expiresMs = 30_000,
    toldMs = Number.POSITIVE_INFINITY,
  } = drawn;
  const bytesOf = (end: string) => {
    const address = parseIpAddress(endOf(end).address);
    if (!address.ok) throw new Error(address.reason);
    return address.value.bytes;
  };
  return {
    source: bytesOf(source),
    destination: bytesOf(destination),
    sourcePort: endOf(source).port,
    destinationPort: endOf(destination).port,
    replySource: bytesOf(reply[0]),
    replyDestination: bytesOf(reply[1]),
    replySourcePort: endOf(reply[0]).port,
    replyDestinationPort: endOf(reply[1]).port,
    state: CONNTRACK_TCP_STATES.indexOf(state),
    mark,
    sinceMs,
    sinceBasis,
    expiresMs,
    toldMs,
  };
}

const LOCAL = /^(192\.0\.2\.1|127\..*|2001:db8::1)$/;

function isLocal(address: Uint8Array): boolean {
  return LOCAL.test(ipFromBytes(address).text);
}

function comparing(comparison: Comparison) {
  return (
    sockets: readonly ComparedSocket[],
    flows: readonly ComparedFlow[],
    nowMs = 100_000,
    picksUp = true,
    knownMs = Number.POSITIVE_INFINITY,
  ): Divergence =>
    comparison.compare(
      {
        sockets: () => sockets,
        forEachFlow: (visit) => flows.forEach(visit),
        knownMs,
        isLocal,
        ownMark: OWN_MARK,
        picksUp,
      },
      nowMs,
    );
}

setFlagsFromString('--expose-gc');
const collectGarbage: () => void = runInNewContext('gc');

/** Bytes of what can be reached. */
function heapInUse(): number {
  collectGarbage();
  return process.memoryUsage().heapUsed;
}

/** What is believed after the same was seen twice. */
function twice(sockets: readonly ComparedSocket[], flows: readonly ComparedFlow[]): Divergence {
  const compare = comparing(new Comparison());
  compare(sockets, flows);
  return compare(sockets, flows);
}

const counts = ({ socketsWithoutFlow, flowsWithoutSocket }: Divergence) => ({
  sockets: Object.fromEntries(socketsWithoutFlow.map(({ state, count }) => [state, count])),
  flows: Object.fromEntries(flowsWithoutSocket.map(({ state, count }) => [state, count])),
});

/** A connection that both tables know, so that conntrack is seen to follow its kind. */
const KNOWN = { socket: socket(`${HOST}:1`, `${PEER}:1`), flow: flow(`${HOST}:1`, `${PEER}:1`) };

spec('sockets and flows compared', (test) => {
  test('agree where each has the other: opened here, accepted here, through NAT, on loopback, in IPv6', () => {
    const result = twice(
      [
        socket(`${HOST}:40000`, '10.96.0.10:443'),
        socket(`${HOST}:8080`, `${PEER}:50000`),
        socket('127.0.0.1:40000', '127.0.0.1:80'),
        socket('127.0.0.1:80', '127.0.0.1:40000'),
        socket('2001:db8::1:40000', '2001:db8::9:443'),
        socket(`${HOST}:80`, '0.0.0.0:0', 'LISTEN'),
      ],
      [
        // To a service: the socket sees the service's address, the answers come from its endpoint.
        flow(`${HOST}:40000`, '10.96.0.10:443', { reply: ['10.244.1.5:8443', `${HOST}:61000`] }),
        // To a node port: the socket has what is behind it.
        flow(`${PEER}:50000`, '198.51.100.1:30080', { reply: [`${HOST}:8080`, `${PEER}:50000`] }),
        flow('127.0.0.1:40000', '127.0.0.1:80'),
        flow('2001:db8::1:40000', '2001:db8::9:443'),
      ],
    );
    assert.equal(counts(result), { sockets: {}, flows: {} });
    assert.equal(
      [result.sockets, result.flows, result.through, result.untracked, result.unsettled],
      [5, 4, 0, 0, 0],
    );
  });

  test('tell what one of them misses when two comparisons do, by state, with age and samples', () => {
    const compare = comparing(new Comparison());
    const sockets = [KNOWN.socket, socket(`${HOST}:2`, `${PEER}:2`, 'CLOSE-WAIT', 10_000)];
    const flows = [KNOWN.flow, flow(`${HOST}:3`, `${PEER}:3`, { sinceMs: 99_000, expiresMs: 432_000_000 })];
    const first = compare(sockets, flows);
    assert.equal([counts(first), first.unsettled], [{ sockets: {}, flows: {} }, 2]);
    const second = compare(sockets, flows, 4_000_000);
    assert.equal(second.unsettled, 0);
    assert.equal(second.socketsWithoutFlow, [
      {
        state: 'CLOSE-WAIT',
        count: 1,
        ages: { underMinute: 0, underTenMinutes: 0, underHour: 0, older: 1, unknown: 0 },
        samples: [{ local: endOf(`${HOST}:2`), peer: endOf(`${PEER}:2`), ageMs: 3_990_000 }],
      },
    ]);
    assert.equal(second.flowsWithoutSocket[0]?.keptLong, 1);
    assert.equal(second.flowsWithoutSocket[0]?.samples[0], {
      local: endOf(`${HOST}:3`),
      peer: endOf(`${PEER}:3`),
      ageMs: 3_901_000,
      timeoutMs: 428_000_000,
    });
  });

  test('take nothing for young of which only the end of its time in the state is known', () => {
    const compare = comparing(new Comparison());
    const sockets = [
      KNOWN.socket,
      socket(`${HOST}:2`, `${PEER}:2`, 'ESTABLISHED', 3_999_000),
      socket(`${HOST}:3`, `${PEER}:2`, 'ESTABLISHED', 3_998_000, false),
      socket(`${HOST}:4`, `${PEER}:2`, 'ESTABLISHED', 2_000_000, false),
      socket(`${HOST}:5`, `${PEER}:2`, 'ESTABLISHED', 10_000, false),
    ];
    const flows = [
      KNOWN.flow,
      flow(`${HOST}:6`, `${PEER}:3`, { sinceMs: 3_990_000 }),
      flow(`${HOST}:7`, `${PEER}:3`, { sinceMs: 3_800_000, sinceBasis: 'kernel' }),
      flow(`${HOST}:8`, `${PEER}:3`, { sinceMs: 3_900_000, sinceBasis: 'seen' }),
    ];
    compare(sockets, flows);
    const { socketsWithoutFlow, flowsWithoutSocket } = compare(sockets, flows, 4_000_000);
    const told = [...socketsWithoutFlow, ...flowsWithoutSocket].map(({ ages, samples }) => {
      const known = Object.entries(ages).filter(([, count]) => count > 0);
      const shown = samples.map(({ ageMs, ageBasis }) => `${ageMs}${ageBasis === 'at-least' ? '+' : ''}`);
      return [Object.fromEntries(known), ...shown];
    });
    assert.equal(told, [
      [{ underMinute: 1, older: 1, unknown: 2 }, '3990000+', '2000000+', '2000+', '1000'],
      [{ underMinute: 1, unknown: 2 }, '200000+', '100000+', '10000'],
    ]);
  });

  test('do not believe what was missed once and is there again', () => {
    const compare = comparing(new Comparison());
    const other = { socket: socket(`${HOST}:2`, `${PEER}:2`), flow: flow(`${HOST}:2`, `${PEER}:2`) };
    compare([KNOWN.socket, other.socket], [KNOWN.flow]);
    compare([KNOWN.socket, other.socket], [KNOWN.flow, other.flow]);
    const third = compare([KNOWN.socket, other.socket], [KNOWN.flow]);
    assert.equal([counts(third).sockets, third.unsettled], [{}, 1]);
  });

  test('believe a flow without a socket only when the kernel spoke of it since the socket is missed', () => {
    const compare = comparing(new Comparison());
    const old = (toldMs: number) => [KNOWN.flow, flow(`${HOST}:2`, `${PEER}:2`, { toldMs })];
    compare([KNOWN.socket], old(90_000), 100_000);
    for (const nowMs of [105_000, 110_000]) {
      const { flowsWithoutSocket, unsettled } = compare([KNOWN.socket], old(90_000), nowMs);
      assert.equal([flowsWithoutSocket, unsettled], [[], 1]);
    }
    const { flowsWithoutSocket, unsettled } = compare([KNOWN.socket], old(112_000), 115_000);
    assert.equal([flowsWithoutSocket[0]?.count, unsettled], [1, 0]);
  });

  test('believe a socket without a flow only when all flows were read since the flow is missed', () => {
    const compare = comparing(new Comparison());
    const sockets = [KNOWN.socket, socket(`${HOST}:2`, `${PEER}:2`)];
    const missed = (knownMs: number, nowMs: number) =>
      counts(compare(sockets, [KNOWN.flow], nowMs, true, knownMs)).sockets;
    missed(90_000, 100_000);
    assert.equal(missed(90_000, 105_000), {});
    assert.equal(missed(106_000, 110_000), { ESTABLISHED: 1 });
  });

  test('leave out what passes through and what finwait itself does', () => {
    const result = twice(
      [KNOWN.socket],
      [
        KNOWN.flow,
        flow('10.244.1.5:40000', '198.51.100.7:443', { reply: ['198.51.100.7:443', `${HOST}:40000`] }),
        flow('198.18.77.2:40000', `${HOST}:80`, { mark: OWN_MARK }),
      ],
    );
    assert.equal([counts(result).flows, result.flows, result.through], [{}, 1, 1]);
  });

  test('count as untracked what conntrack is not seen to follow: a family, loopback, addresses of others', () => {
    const result = twice(
      [
        KNOWN.socket,
        socket('127.0.0.1:40000', '127.0.0.1:80'),
        socket('2001:db8::1:40000', '2001:db8::9:443'),
        socket('203.0.113.5:443', `${PEER}:50000`),
      ],
      [KNOWN.flow],
    );
    assert.equal([counts(result).sockets, result.untracked], [{}, 3]);
  });

  test('count as untracked a connection that had packets and got no flow, where conntrack would have taken it up', () => {
    const quiet = { ...socket(`${HOST}:2`, `${PEER}:2`), idleMs: 9_000 };
    const busy = { ...socket(`${HOST}:3`, `${PEER}:3`), idleMs: 500 };
    const sockets = [KNOWN.socket, quiet, busy];
    for (const [picksUp, believed, untracked] of [
      [true, { ESTABLISHED: 1 }, 1],
      [false, { ESTABLISHED: 2 }, 0],
    ] as const) {
      const compare = comparing(new Comparison());
      compare(sockets, [KNOWN.flow], 100_000, picksUp);
      const result = compare(sockets, [KNOWN.flow], 105_000, picksUp);
      assert.equal([counts(result).sockets, result.untracked], [believed, untracked]);
    }
  });

  test('say why there is nothing to compare, and begin anew after that', () => {
    const comparison = new Comparison();
    const compare = comparing(comparison);
    const lonely = [KNOWN.socket, socket(`${HOST}:2`, `${PEER}:2`)];
    compare(lonely, [KNOWN.flow]);
    assert.is(comparison.disbelieve('conntrack-idle').disbelief, 'conntrack-idle');
    assert.equal(counts(compare(lonely, [KNOWN.flow])).sockets, {});
  });

  test('keep numbers of what is missing, however much it is, and leave unsettled what is not remembered', () => {
    const count = 200_000;
    const drawn = flow(`${PEER}:1024`, `${HOST}:443`, { state: 'TIME_WAIT' });
    const addresses = [drawn.source, drawn.replyDestination];
    let heapBytes = 0;
    const comparison = new Comparison();
    const compare = () =>
      comparison.compare(
        {
          sockets: () => [],
          forEachFlow: (visit) => {
            const before = heapInUse();
            for (let at = 0; at < count; at++) {
              for (const address of addresses) address.set([10, at >> 16, (at >> 8) & 0xff, at & 0xff]);
              visit({ ...drawn, sinceMs: at });
            }
            heapBytes = heapInUse() - before;
          },
          knownMs: Number.POSITIVE_INFINITY,
          isLocal,
          ownMark: OWN_MARK,
          picksUp: true,
        },
        400_000,
      );
    assert.is(compare().unsettled, count);
    assert.ok(heapBytes < 24 << 20, `${heapBytes} bytes in use`);
    const { flows, unsettled, flowsWithoutSocket } = compare();
    assert.equal([flows, unsettled, flowsWithoutSocket[0]?.count], [count, 100_000, 100_000]);
    assert.equal(
      flowsWithoutSocket[0]?.samples.map(({ ageMs }) => ageMs),
      [400_000, 399_999, 399_998, 399_997, 399_996],
    );
  });

  test('find exactly what is missing, of any tables', () => {
    const ports = fc.uniqueArray(fc.integer({ min: 2, max: 400 }), { maxLength: 120 });
    fc.assert(
      fc.property(ports, ports, (withSocket, withFlow) => {
        const result = twice(
          [KNOWN.socket, ...withSocket.map((port) => socket(`${HOST}:${port}`, `${PEER}:80`))],
          [KNOWN.flow, ...withFlow.map((port) => flow(`${HOST}:${port}`, `${PEER}:80`))],
        );
        const only = (a: number[], b: number[]) => a.filter((port) => !b.includes(port)).length;
        assert.is(counts(result).sockets.ESTABLISHED ?? 0, only(withSocket, withFlow));
        assert.is(counts(result).flows.ESTABLISHED ?? 0, only(withFlow, withSocket));
        const ages = result.flowsWithoutSocket.flatMap((state) => Object.values(state.ages));
        assert.is(
          ages.reduce((sum, each) => sum + each, 0),
          only(withFlow, withSocket),
        );
      }),
      { seed: testSeed(), numRuns: 300 },
    );
  });
});
