import * as assert from 'uvu/assert';
import type { Assignment, Listener, ProbeTarget } from '#contract';
import { CONTRACT_LIMITS, DEFAULT_PROBE_LIMITS } from '#contract';
import { planTargets } from '../../../daemon/report/targets.ts';
import { spec } from '../../harness.ts';
import { listenerTargetOf } from './fixtures.ts';

const HOST = { hostV4: '198.18.77.1', hostV6: 'fd66:696e:7761:6974::1' };
const PLAN = { intervalMs: 10_000, limits: DEFAULT_PROBE_LIMITS };

function listener(address: string, port: number): Listener {
  const family = address.includes(':') ? 6 : 4;
  return { local: { address, port }, family, process: null, acceptQueue: 0, backlog: 128 };
}

function assigned(...names: string[]): Assignment {
  const targets = names.map((name): ProbeTarget => {
    const [host = '', port = ''] = name.split(':');
    return {
      name,
      host,
      port: Number(port),
      origin: 'user',
      intervalMs: 5_000,
      limits: DEFAULT_PROBE_LIMITS,
    };
  });
  return { targets, reportIntervalMs: 5_000 };
}

function plan(listeners: readonly Listener[], assignment?: Assignment) {
  return planTargets(assignment, listeners, HOST, PLAN);
}

spec('target planning', (test) => {
  test("names a listener as it listens and probes wildcards on the host's address of the device", () => {
    const listeners = [listener('::', 80), listener('0.0.0.0', 80), listener('0.0.0.0', 22)];
    assert.equal(plan(listeners).targets, [
      listenerTargetOf('0.0.0.0:22', HOST.hostV4, 22),
      listenerTargetOf('0.0.0.0:80', HOST.hostV4, 80),
      listenerTargetOf('[::]:80', HOST.hostV6, 80),
    ]);
  });

  test('leaves out what another finwait listens on, unless it is assigned', () => {
    const other = { ...listener('127.0.0.1', 7460), process: { pid: 7, name: 'finwait operato' } };
    assert.equal(plan([other]).targets, []);
    assert.is(plan([other], assigned('127.0.0.1:7460')).targets.length, 1);
  });

  test('probes loopback and other addresses where they are', () => {
    const listeners = [listener('127.0.0.53', 53), listener('::1', 631), listener('10.1.2.3', 9000)];
    assert.equal(
      plan(listeners).targets.map(({ name, host }) => [name, host]),
      [
        ['127.0.0.53:53', '127.0.0.53'],
        ['[::1]:631', '::1'],
        ['10.1.2.3:9000', '10.1.2.3'],
      ],
    );
  });

  test('asks [::] listeners over IPv4 when the device has no IPv6', () => {
    const targets = planTargets(
      undefined,
      [listener('::', 80)],
      { ...HOST, hostV6: undefined },
      PLAN,
    ).targets;
    assert.equal(targets, [listenerTargetOf('[::]:80', HOST.hostV4, 80)]);
  });

  test('probes listeners as often and within the limits that were set', () => {
    const limits = { connectMs: 1, exchangeMs: 2, closeMs: 3 };
    const set = { intervalMs: 4, limits };
    const [target] = planTargets(undefined, [listener('::1', 80)], HOST, set).targets;
    assert.equal([target?.intervalMs, target?.limits], [4, limits]);
  });

  test('leaves out link-local addresses, which mean nothing without their link', () => {
    assert.equal(plan([listener('fe80::1', 80), listener('febf::1', 80)]).targets, []);
    assert.is(plan([listener('fec0::1', 80)]).targets.length, 1);
  });

  test('takes a listener of several sockets once, and an assigned target of the same name before it', () => {
    const { targets } = plan([listener('10.0.0.1', 80), listener('10.0.0.1', 80)], assigned('10.0.0.1:80'));
    assert.equal(
      targets.map(({ origin }) => origin),
      ['user'],
    );
  });

  test('is the same whatever the order in which listeners were found', () => {
    const listeners = [listener('0.0.0.0', 22), listener('::', 22), listener('127.0.0.1', 80)];
    assert.equal(plan(listeners.toReversed()), plan(listeners));
  });

  test('keeps all assigned targets and says how many listeners do not fit', () => {
    const listeners = Array.from({ length: 256 }, (_, index) => listener('0.0.0.0', index + 1));
    const { targets, folded } = plan(listeners, assigned('a:1', 'b:2'));
    assert.is(targets.length, CONTRACT_LIMITS.targets);
    assert.equal(
      targets.slice(0, 2).map(({ name }) => name),
      ['a:1', 'b:2'],
    );
    assert.is(folded, 2);
  });
});
