import * as assert from 'uvu/assert';
import type { PortUse, SourceNatUse } from '#contract';
import { ExhaustedPorts } from '../../../daemon/report/exhausted-ports.ts';
import { spec } from '../../harness.ts';

function use(used: number, changes: Partial<PortUse> = {}): PortUse {
  return {
    source: '10.0.0.1',
    destination: { address: '10.0.0.5', port: 5432 },
    used,
    usable: 100,
    timeWait: 0,
    reusable: 0,
    bound: 0,
    ...changes,
  };
}

/** Looks every five seconds, from `fromMs` on, at each of these; what is told each time, one after the other. */
function told(ports: ExhaustedPorts, looks: readonly (readonly PortUse[])[], fromMs = 0): string[] {
  return looks.map((destinations, look) => {
    ports.update({ sockets: { ports: { destinations, folded: 0 } } }, fromMs + look * 5_000);
    return ports
      .conditions()
      .map(({ message }) => message)
      .join('\n');
  });
}

const times = <T>(count: number, value: T): T[] => Array.from({ length: count }, () => value);

spec('ports that run out', (test) => {
  test('are told from nine tenths in use on, and told of when none was left', () => {
    const ports = new ExhaustedPorts();
    const [some, most, all] = told(ports, [[use(89)], [use(90)], [use(100)]]);
    assert.is(some, '');
    assert.match(most ?? '', 'local ports from 10.0.0.1 to 10.0.0.5:5432 run out');
    assert.match(all ?? '', 'no local port is left from 10.0.0.1 to 10.0.0.5:5432: connections fail');
    const [condition] = ports.conditions();
    assert.is(condition?.code, 'PORTS_EXHAUSTED');
    assert.match(condition?.hint ?? '', /^finwait ports tells/);
  });

  test('are not told of one that rose an hour ago and is met again', () => {
    const ports = new ExhaustedPorts();
    const rising = use(75, { exhaustedInMs: 60_000 });
    assert.equal(told(ports, [[rising], [], []]), ['', '', '']);
    assert.equal(told(ports, [[rising]], 3_600_000), ['']);
  });

  test('stand as one message while use goes up and down, and are over after a minute of less', () => {
    const ports = new ExhaustedPorts();
    const upAndDown = Array.from({ length: 40 }, (_, look) => [
      use(look % 4 === 0 ? 100 : 60 + 5 * (look % 4)),
    ]);
    assert.is(new Set(told(ports, upAndDown)).size, 1);
    const less = told(ports, [[use(90)], ...times(20, [use(85)])], 40 * 5_000);
    assert.is(less.indexOf(''), -1, 'that is not well yet');
    const calm = told(ports, times(13, [use(75)]), 61 * 5_000);
    assert.is(calm.indexOf(''), 11, 'they were last running out five seconds before');
  });

  test('stand also where looks are more than a minute apart, until two were well', () => {
    const ports = new ExhaustedPorts();
    const looks = [95, 85, 95, 85, 75, 75].map((used, look) => {
      ports.update({ sockets: { ports: { destinations: [use(used)], folded: 0 } } }, look * 61_000);
      return ports.conditions().length;
    });
    assert.equal(looks, [1, 1, 1, 1, 1, 0]);
  });

  test('are of the same destination as long as it runs out, though others are worse', () => {
    const ports = new ExhaustedPorts();
    const other = (used: number) => use(used, { destination: { address: '10.0.0.6', port: 80 } });
    const messages = told(ports, [[use(95)], [other(100), use(95)], [other(100), use(85)]]);
    assert.is(new Set(messages).size, 1);
    assert.match(messages[0] ?? '', '10.0.0.5:5432');
    const later = told(ports, times(13, [other(100)]), 15_000);
    assert.match(later.at(-1) ?? '', 'no local port is left from 10.0.0.1 to 10.0.0.6:80');
  });

  test('are told before that where use rises for longer than a load takes to begin', () => {
    const rising = [use(75, { exhaustedInMs: 100_000 })];
    assert.is(told(new ExhaustedPorts(), times(19, rising)).indexOf('local ports from 10.0.0.1'), -1);
    const messages = told(new ExhaustedPorts(), times(20, rising));
    assert.is(
      messages.findIndex((message) => message !== ''),
      18,
    );
    const paused = [...times(10, rising), [use(75)], ...times(10, rising)];
    assert.equal(new Set(told(new ExhaustedPorts(), paused)), new Set(['']));
    const slow = [use(75, { exhaustedInMs: 3_600_000 })];
    assert.equal(new Set(told(new ExhaustedPorts(), times(30, slow))), new Set(['']));
  });

  test('name the pod or the network namespace, also in what to do', () => {
    const ports = new ExhaustedPorts();
    const [netns] = told(ports, [[use(95, { netns: 4_026_532_201 })]]);
    assert.match(netns ?? '', 'to 10.0.0.5:5432 in network namespace 4026532201 run out');
    assert.match(ports.conditions()[0]?.hint ?? '', 'finwait ports --netns 4026532201 ');
    const ofPod = new ExhaustedPorts();
    const [pod] = told(ofPod, [[use(95, { pod: { uid: 'aaaa-1' } })]]);
    assert.match(pod ?? '', 'in pod aaaa-1');
    assert.match(ofPod.conditions()[0]?.hint ?? '', 'finwait ports --pod aaaa-1 ');
  });

  test('stay for a while when sockets cannot be read', () => {
    const ports = new ExhaustedPorts();
    told(ports, [[use(95)]]);
    ports.update({}, 59_000);
    assert.is(ports.conditions().length, 1);
    ports.update({}, 60_000);
    assert.is(ports.conditions().length, 0);
  });

  test('are also those of source NAT', () => {
    const ports = new ExhaustedPorts();
    const nat = (used: number): SourceNatUse => ({
      address: '192.0.2.1',
      destination: { address: '198.51.100.7', port: 443 },
      used,
      usable: 64_512,
      usableBasis: 'assumed',
      waiting: 0,
      consumers: [],
    });
    const messageAt = (used: number) => {
      ports.update({ conntrack: { sourceNat: { destinations: [nat(used)] } } }, 0);
      return ports.conditions()[0]?.message ?? '';
    };
    assert.is(messageAt(50_000), '');
    assert.match(messageAt(60_000), 'the ports of source NAT as 192.0.2.1 to 198.51.100.7:443 run out');
    assert.match(messageAt(64_000), 'hardly a port left as 192.0.2.1 to 198.51.100.7:443');
  });
});
