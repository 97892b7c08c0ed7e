/** A report and a probe result with something in every field, for tests of both ends of the contract. */

import type { ProbeResult, Report } from '#contract';
import { CONTRACT_VERSION } from '#contract';

export const BOOT = '0b5e1a4c-6f0d-4c7e-9b6a-2f8f6f1f0a11';

export function sampleProbe(changes: Partial<ProbeResult> = {}): ProbeResult {
  const option = { mss: 1460, windowScale: 7, sackPermitted: true, timestamps: true };
  return {
    id: '4bf92f3577b34da6a3ce929d0e0e4736',
    target: { name: 'db:5432', host: 'db', port: 5432, origin: 'user' },
    family: 4,
    local: { address: '198.18.77.2', port: 40_001 },
    remote: { address: '127.0.0.1', port: 5432 },
    startUs: 1_763_695_000_123_456,
    verdict: 'open',
    sentence: 'open: the handshake took 120 us, the close 340 us',
    phases: [
      { name: 'resolve', fromUs: -900, toUs: -100, ok: true },
      { name: 'handshake', fromUs: 0, toUs: 130, ok: true },
      { name: 'exchange', fromUs: 130, toUs: 600, ok: true },
      { name: 'close', fromUs: 600, toUs: 1000, ok: true },
    ],
    steps: {
      synSentUs: 0,
      synAckReceivedUs: 120,
      ackSentUs: 130,
      requestSentUs: 140,
      requestAckedUs: 300,
      firstByteUs: 500,
      finSentUs: 600,
      finAckedUs: 700,
      finReceivedUs: 900,
      lastAckSentUs: 1000,
    },
    segments: [
      line(0, 'out', ['SYN'], 0, undefined),
      line(120, 'in', ['ACK', 'SYN'], 0, 1),
      line(130, 'out', ['ACK'], 1, 1),
      { ...line(140, 'out', ['ACK', 'PSH'], 1, 1), length: 16 },
      line(300, 'in', ['ACK'], 1, 17),
      { ...line(500, 'in', ['ACK', 'PSH'], 1, 17), length: 40 },
      line(600, 'out', ['ACK', 'FIN'], 17, 41),
      { ...line(690, 'out', ['ACK', 'FIN'], 17, 41), retransmission: true },
      line(700, 'in', ['ACK'], 41, 18),
      line(900, 'in', ['ACK', 'FIN'], 41, 18),
      line(1000, 'out', ['ACK'], 18, 42),
    ],
    segmentsFolded: 0,
    options: { offered: option, accepted: option },
    retransmits: { syn: 0, data: 0, fin: 1 },
    rttUs: 150,
    handshakeNetUs: 130,
    hops: 0,
    ...changes,
  };
}

function line(
  atUs: number,
  direction: 'in' | 'out',
  flags: ProbeResult['segments'][number]['flags'],
  seq: number,
  ack: number | undefined,
): ProbeResult['segments'][number] {
  const fixed = { kind: 'tcp' as const, length: 0, window: 65_535, retransmission: false };
  return { atUs, direction, flags, seq, ...(ack === undefined ? {} : { ack }), ...fixed };
}

export function sampleReport(changes: Partial<Report> = {}): Report {
  return {
    version: CONTRACT_VERSION,
    boot: BOOT,
    seq: 1,
    agent: { version: '0.1.0', hostname: 'ferry', kernel: '6.1.0', mode: 'probe' },
    fromMs: 1_763_695_000_000,
    toMs: 1_763_695_001_000,
    sockets: {
      states: [
        { family: 4, state: 'ESTABLISHED', count: 12 },
        { family: 6, state: 'TIME-WAIT', count: 3 },
        { family: 4, state: 'CLOSE-WAIT', count: 2 },
      ],
      holders: [
        {
          state: 'TIME-WAIT',
          direction: 'outbound',
          process: { pid: 4242, name: 'curl' },
          attribution: 'last-owner',
          pod: { uid: 'f5a1c7de-0b5a-4c39-9f4f-2f7d1f0a9b11', containerId: 'c0ffee' },
          peer: '2001:db8::1',
          port: 443,
          count: 3,
          oldestMs: 31_000,
        },
        {
          state: 'CLOSE-WAIT',
          direction: 'inbound',
          process: null,
          attribution: 'unknown',
          podBy: 'namespace',
          netns: 4_026_532_201,
          unread: { bytes: 12, growing: 1, shrinking: 0, seenBefore: 2, sending: 0, lastReceivedMs: 5 },
          peer: '10.0.0.9',
          port: 8080,
          count: 2,
          oldestMs: 900_000,
        },
      ],
      folded: [{ state: 'TIME-WAIT', groups: 2, sockets: 7 }],
      listeners: [
        {
          local: { address: '::', port: 8080 },
          family: 6,
          process: { pid: 77, name: 'node' },
          acceptQueue: 0,
          backlog: 511,
        },
      ],
      listenersFolded: 0,
      pods: [{ uid: 'f5a1c7de-0b5a-4c39-9f4f-2f7d1f0a9b11', states: [{ state: 'TIME-WAIT', count: 3 }] }],
      podsFolded: 1,
      turnover: [{ state: 'TIME-WAIT', enteredPerSecond: 470.5, leftPerSecond: 0 }],
      namespaces: [
        {
          inode: 4_026_531_840,
          own: true,
          inUse: 30,
          timeWait: 3,
          counters: { ListenOverflows: { total: 12, perSecond: 0.5 }, TW: { total: 9 } },
          settings: {
            portRange: { from: 32_768, to: 60_999 },
            reservedPorts: [{ from: 50_000, to: 50_010 }],
            twReuse: 2,
            memoryPages: { low: 1, pressure: 2, high: 3 },
            conntrackTimeoutsS: { close_wait: 3_600 },
          },
        },
      ],
      namespacesFolded: 0,
      counters: { ListenOverflows: { total: 3, perSecond: 0.5 } },
      memory: { pages: 40, orphans: 2, allocated: 9 },
      ports: {
        destinations: [
          {
            pod: { uid: 'f5a1c7de-0b5a-4c39-9f4f-2f7d1f0a9b11' },
            source: '10.244.1.5',
            destination: { address: '10.0.0.5', port: 5432 },
            used: 20_000,
            usable: 28_230,
            timeWait: 19_000,
            reusable: 12,
            bound: 3,
            perMinute: 2000,
            exhaustedInMs: 247_000,
          },
        ],
        folded: 7,
      },
    },
    conntrack: {
      status: 'on',
      count: 420,
      max: 262_144,
      states: [{ state: 'ESTABLISHED', count: 300 }],
      activity: {
        followed: 'events',
        settings: { events: 'on-demand', accounting: false, timestamps: true },
        begunPerS: 12.5,
        endedPerS: 12,
        growthPerS: 0.5,
        toFullMs: 523_160_000,
        ends: [{ reason: 'closed', count: 900 }],
        lifetimes: [{ basis: 'kernel', counts: [1, 899], sumMs: 90_000 }],
        lifetimeBoundsMs: [100],
        lifetimesUnknown: 3,
        sources: [{ address: '10.244.0.7', count: 40 }],
        destinations: [{ address: '10.96.0.10', port: 53, count: 30 }],
        sourcesByBytes: [
          {
            address: '10.244.0.7',
            count: 40,
            sent: { packets: 400, bytes: 24_000 },
            received: { packets: 300, bytes: 4_000_000 },
          },
        ],
        destinationsByBytes: [{ address: '10.96.0.10', port: 53, count: 30 }],
        oldestFlowMs: 86_400_000,
        statistics: [{ name: 'insertFailed', total: 2, perS: 0 }],
      },
      own: 4,
      sourceNat: {
        destinations: [
          {
            address: '192.0.2.1',
            destination: { address: '198.51.100.7', port: 443 },
            used: 31_000,
            usable: 64_512,
            usableBasis: 'assumed',
            waiting: 29_000,
            consumers: [
              { source: '10.244.1.5', count: 30_000, pod: { uid: 'f5a1c2d3-0000-4000-8000-000000000001' } },
            ],
            perMinute: -12,
          },
        ],
        folded: 3,
      },
      divergence: {
        sockets: 300,
        flows: 310,
        through: 110,
        untracked: 2,
        socketsWithoutFlow: [
          {
            state: 'CLOSE-WAIT',
            count: 1,
            ages: { underMinute: 0, underTenMinutes: 0, underHour: 1, older: 0, unknown: 0 },
            samples: [
              {
                local: { address: '192.0.2.1', port: 8080 },
                peer: { address: '192.0.2.9', port: 40_000 },
                ageMs: 900_000,
              },
            ],
          },
        ],
        flowsWithoutSocket: [
          {
            state: 'ESTABLISHED',
            count: 2,
            ages: { underMinute: 0, underTenMinutes: 1, underHour: 0, older: 1, unknown: 0 },
            keptLong: 2,
            samples: [],
          },
        ],
        unsettled: 1,
      },
    },
    probes: [sampleProbe()],
    health: { rssBytes: 90_000_000, cpuSeconds: 1.5, loopLagMs: 2.25, counters: { 'tun.dropped': 0 } },
    conditions: [
      { code: 'FORWARDING_OFF', message: 'the kernel does not forward', hint: 'set net.ipv4.ip_forward' },
    ],
    ...changes,
  };
}
