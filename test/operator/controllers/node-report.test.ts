import * as assert from 'uvu/assert';
import type { ErrorCode } from '#base/errors.ts';
import type { ConntrackSummary } from '#contract';
import type { NodeTcpReportStatus } from '../../../operator/api/v1alpha1/node-tcp-report.ts';
import { nodeReportStatus, silentNodeStatus } from '../../../operator/controllers/reports/node-report.ts';
import { policyOf } from '../../../operator/controllers/reports/policy.ts';
import type { NodeView } from '../../../operator/fleet/view.ts';
import { spec } from '../../harness.ts';
import { sampleProbe, sampleReport } from '../../support/report.ts';

const NOW_MS = Date.UTC(2026, 10, 21, 12);

function viewOf(changes: Partial<NodeView> = {}): NodeView {
  const { boot, agent, sockets, conntrack, health } = sampleReport();
  return {
    name: 'ferry',
    boot,
    seq: 1,
    lastReportMs: NOW_MS,
    stale: false,
    reports: { applied: 1, duplicates: 0, missing: 0, boots: 1 },
    agent,
    ...(sockets === undefined ? {} : { sockets }),
    ...(conntrack === undefined ? {} : { conntrack }),
    health,
    conditions: [],
    probes: [],
    assigned: [],
    ...changes,
  };
}

const podName = (uid: string) => (uid.startsWith('f5a1') ? 'shop/web-1' : undefined);

function statusOf(view: NodeView, growthPerMinute?: number): NodeTcpReportStatus {
  const policy = policyOf(undefined, {});
  return nodeReportStatus({ view, policy, before: undefined, growthPerMinute, podName, nowMs: NOW_MS });
}

function conditionOf(status: NodeTcpReportStatus, type: string) {
  const found = status.conditions.find((condition) => condition.type === type);
  if (found === undefined) throw new Error(`there is no condition ${type}`);
  return found;
}

const table = (count: number, max = 1000): ConntrackSummary => ({
  status: 'on',
  count,
  max,
  states: [],
  own: 0,
});

spec('the NodeTCPReport of a node', (test) => {
  test('calls an agent healthy that sees what its mode allows, and tells the rest among the problems', () => {
    const condition = (code: ErrorCode) => ({ code, message: 'what', hint: 'do' });
    const conditions = [condition('PROCESS_NAMES_PARTIAL'), condition('LOOPBACK_V4_UNREACHABLE')];
    const { agent } = sampleReport();
    const probing = statusOf(viewOf({ agent: { ...agent, mode: 'probe' }, conditions }));
    assert.is(conditionOf(probing, 'AgentHealthy').status, 'True');
    assert.is(probing.agent.state, 'OK');
    assert.is(probing.problems.length, 2);
    const inspecting = statusOf(viewOf({ agent: { ...agent, mode: 'inspect' }, conditions }));
    assert.is(conditionOf(inspecting, 'AgentHealthy').reason, 'ProcessNamesPartial');
    assert.is(inspecting.agent.state, 'PROCESS_NAMES_PARTIAL');
  });

  test('does not call an agent ill for what it found out: that conntrack, ports or a listener have no room', () => {
    const condition = (code: ErrorCode) => ({ code, message: 'what', hint: 'do' });
    const conditions = [
      condition('CONNTRACK_FULL'),
      condition('PORTS_EXHAUSTED'),
      condition('LISTENER_STALLED'),
    ];
    const status = statusOf(viewOf({ conditions }));
    assert.is(status.agent.state, 'OK');
    assert.is(status.problems.length, 3);
  });

  test('does not call an agent ill for what a probe asks: a name that does not resolve, a probe in mode observe', () => {
    const condition = (code: ErrorCode) => ({ code, message: 'what', hint: 'do' });
    const conditions = [condition('NAME_UNRESOLVED'), condition('PROBES_OFF')];
    const { agent } = sampleReport();
    const observing = statusOf(viewOf({ agent: { ...agent, mode: 'observe' }, conditions }));
    assert.is(observing.agent.state, 'OK');
    assert.is(observing.problems.length, 2);
    const probing = statusOf(viewOf({ agent: { ...agent, mode: 'probe' }, conditions }));
    assert.is(probing.agent.state, 'PROBES_OFF');
  });

  test('counts the states of both families in the spelling of telemetry, the most first', () => {
    const status = statusOf(viewOf());
    assert.equal(status.states, [
      { state: 'ESTABLISHED', count: 12 },
      { state: 'TIME_WAIT', count: 3 },
      { state: 'CLOSE_WAIT', count: 2 },
    ]);
    assert.equal([status.established, status.timeWait, status.closeWait], [12, 3, 2]);
  });

  test('has no counts where the socket table could not be read', () => {
    const { sockets: _, ...view } = viewOf();
    assert.is(statusOf(view).established, undefined);
  });

  test('says how many probes are open, of all', () => {
    const probes = [sampleProbe(), sampleProbe({ verdict: 'refused' })];
    assert.is(statusOf(viewOf({ probes })).probes, '1/2');
    assert.is(statusOf(viewOf()).probes, undefined);
  });

  test('names the problem of an agent that does not see all, and what to do', () => {
    const [condition] = sampleReport().conditions;
    const status = statusOf(viewOf({ conditions: condition === undefined ? [] : [condition] }));
    assert.is(status.agent.state, 'FORWARDING_OFF');
    const { status: healthy, reason, message } = conditionOf(status, 'AgentHealthy');
    assert.equal([healthy, reason], ['False', 'ForwardingOff']);
    assert.match(message, /does not forward: set net\.ipv4\.ip_forward/);
    assert.is(status.problems[0]?.code, 'FORWARDING_OFF');
  });

  test('says that an agent has fallen silent, and since when', () => {
    const status = statusOf(viewOf({ stale: true, lastReportMs: NOW_MS - 30_000 }));
    assert.is(status.agent.state, 'Silent');
    assert.match(conditionOf(status, 'AgentReporting').message, /2026-11-21T11:59:30Z/);
  });

  test('stays as it was, but silent, when nobody speaks for the node any more', () => {
    const before = statusOf(viewOf());
    const status = silentNodeStatus(before, NOW_MS + 90_000);
    assert.is(status.established, 12);
    assert.is(conditionOf(status, 'AgentReporting').status, 'False');
    assert.is(conditionOf(status, 'AgentReporting').lastTransitionTime, '2026-11-21T12:01:30Z');
    assert.is(status.conditions.length, before.conditions.length);
  });

  test('finds a conntrack table nearly full at the limit of the policy', () => {
    assert.is(conditionOf(statusOf(viewOf({ conntrack: table(749) })), 'ConntrackHasRoom').status, 'True');
    const full = statusOf(viewOf({ conntrack: table(750) }));
    assert.is(conditionOf(full, 'ConntrackHasRoom').reason, 'NearlyFull');
    assert.is(full.conntrack?.fill, '75%');
  });

  test('foretells when a growing table is full', () => {
    const status = statusOf(viewOf({ conntrack: table(500) }), 50);
    assert.is(status.conntrack?.timeToFull, '10m');
    assert.is(conditionOf(status, 'ConntrackHasRoom').reason, 'FillsUp');
    const slow = statusOf(viewOf({ conntrack: table(500) }), 10);
    assert.is(slow.conntrack?.timeToFull, '50m');
    assert.is(conditionOf(slow, 'ConntrackHasRoom').status, 'True');
    assert.is(statusOf(viewOf({ conntrack: table(500) }), 0.1).conntrack?.timeToFull, undefined);
    assert.is(statusOf(viewOf({ conntrack: table(500) }), -5).conntrack?.timeToFull, undefined);
  });

  test('does not say that there is room where nothing could be read', () => {
    const { conntrack: _, ...view } = viewOf();
    const status = statusOf(view);
    assert.is(conditionOf(status, 'ConntrackHasRoom').status, 'Unknown');
    assert.equal(status.conntrack, { state: 'Unreadable' });
  });

  test('tells how near connections are to having no port left, those with a tenth in use by name', () => {
    const { ports } = statusOf(viewOf());
    assert.equal(ports, {
      fill: '71%',
      exhaustedIn: '4m',
      destinations: [
        {
          pod: 'shop/web-1',
          source: '10.244.1.5',
          destination: '10.0.0.5:5432',
          timeWait: 19_000,
          used: 20_000,
          usable: 28_230,
          exhaustedIn: '4m',
        },
      ],
      masqueraded: [
        {
          address: '192.0.2.1',
          destination: '198.51.100.7:443',
          used: 31_000,
          usable: 64_512,
          consumers: [{ source: '10.244.1.5', count: 30_000, pod: 'shop/web-1' }],
        },
      ],
    });
    const { sockets, conntrack: _, ...view } = viewOf();
    if (sockets?.ports === undefined) throw new Error('the sample has no ports');
    const elsewhere = sockets.ports.destinations.map(({ pod: _pod, ...use }) => ({
      ...use,
      netns: 4_026_532_201,
    }));
    const named = statusOf({
      ...view,
      sockets: { ...sockets, ports: { destinations: elsewhere, folded: 0 } },
    });
    assert.is(named.ports?.destinations[0]?.netns, 4_026_532_201, "a network that is no pod's");
    const destinations = sockets.ports.destinations.map((use) => ({ ...use, used: 2_822 }));
    const calm = statusOf({ ...view, sockets: { ...sockets, ports: { destinations, folded: 0 } } });
    assert.equal([calm.ports?.fill, calm.ports?.destinations], ['10%', []]);
    assert.is(
      statusOf({ ...view, sockets: { ...sockets, ports: { destinations: [], folded: 0 } } }).ports,
      undefined,
    );
  });

  test('names the pods that use the ports of a masqueraded address, where they are known', () => {
    const view = viewOf();
    const { conntrack, sockets } = view;
    const uid = sockets?.ports?.destinations[0]?.pod?.uid ?? '';
    if (conntrack?.sourceNat === undefined) throw new Error('the sample has no source NAT');
    const consumers = [
      { source: '10.244.1.5', count: 3, pod: { uid } },
      { source: '10.244.1.6', count: 2, pod: { uid: `0${uid.slice(1)}` } },
    ];
    const destinations = conntrack.sourceNat.destinations.map((use) => ({ ...use, consumers }));
    const sourceNat = { ...conntrack.sourceNat, destinations };
    assert.equal(
      statusOf({ ...view, conntrack: { ...conntrack, sourceNat } }).ports?.masqueraded[0]?.consumers,
      [
        { source: '10.244.1.5', count: 3, pod: 'shop/web-1' },
        { source: '10.244.1.6', count: 2 },
      ],
    );
  });

  test('tells whose connections are being lost, by the counters that rise', () => {
    const view = viewOf();
    const namespace = { inUse: 1, timeWait: 0 };
    const pod = view.sockets?.ports?.destinations[0]?.pod?.uid ?? '';
    const namespaces = [
      { ...namespace, inode: 1, own: true, counters: { TCPBacklogDrop: { total: 9, perSecond: 0.5 } } },
      {
        ...namespace,
        inode: 2,
        own: false,
        pod,
        counters: {
          ListenOverflows: { total: 500, perSecond: 2 },
          ActiveOpens: { total: 7, perSecond: 7 },
          PAWSEstab: { total: 3, perSecond: 0 },
          SyncookiesSent: { total: 3 },
        },
      },
      { ...namespace, inode: 3, own: false, counters: { ListenDrops: { total: 1, perSecond: 0.02 } } },
    ];
    if (view.sockets === undefined) throw new Error('the sample has no sockets');
    const losing = (all: typeof namespaces) =>
      statusOf({ ...view, sockets: { ...view.sockets, states: [], namespaces: all } as typeof view.sockets })
        .losses;
    assert.equal(losing(namespaces), [
      { network: 'shop/web-1', counter: 'ListenOverflows', perMinute: 120 },
      { network: 'node', counter: 'TCPBacklogDrop', perMinute: 30 },
      { network: 'netns 3', counter: 'ListenDrops', perMinute: 1 },
    ]);
    assert.is(losing([]), undefined);
  });

  test('tells how many sockets and conntrack entries have no counterpart, or why that is not known', () => {
    const view = viewOf();
    assert.equal(statusOf(view).comparison, {
      state: 'Compared',
      socketsWithoutFlow: 1,
      flowsWithoutSocket: 2,
      flowsKeptLong: 2,
    });
    const { conntrack } = view;
    if (conntrack?.divergence === undefined) throw new Error('the sample has no divergence');
    const divergence = { ...conntrack.divergence, disbelief: 'conntrack-idle' as const };
    const idle = statusOf({ ...view, conntrack: { ...conntrack, divergence } });
    assert.equal(idle.comparison, { state: 'ConntrackIdle' });
    assert.is(statusOf(viewOf({ conntrack: table(1) })).comparison, undefined);
  });
});
