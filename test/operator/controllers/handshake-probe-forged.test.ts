/** Agents hand back what they were told to probe, or what they like: the second is not believed. */

import * as assert from 'uvu/assert';
import type { ProbeTarget } from '#contract';
import { DEFAULT_PROBE_LIMITS } from '#contract';
import { HANDSHAKE_PROBES } from '../../../operator/kube/resource.ts';
import { spec } from '../../harness.ts';
import { until } from '../../support/until.ts';
import {
  assigned,
  condition,
  manifest,
  NEEDS,
  resultFor,
  scene,
  statusOf,
  TARGET,
} from './handshake-probe-scene.ts';

const TARGET_OF_NOBODY: ProbeTarget = {
  name: 'nobody',
  host: '10.0.0.9',
  port: 9,
  origin: 'user',
  intervalMs: 1000,
  limits: DEFAULT_PROBE_LIMITS,
  ref: 'a/b/c/d/1',
};

spec('HandshakeProbes and forged results', (test) => {
  test(
    'are not touched by results that a node was not told to bring: they are counted',
    async () => {
      await using at = await scene();
      const nodes = { names: ['ferry'] };
      for (const name of ['shop', 'edited', 'gone', 'anew']) {
        await at.server.apply(manifest(name, { targets: [TARGET], nodes }));
      }
      const before = await assigned(at, 'ferry', 4);
      const targetOf = (probe: string): ProbeTarget => {
        const found = before.find(({ ref }) => ref?.startsWith(`default/${probe}/`));
        return found ?? TARGET_OF_NOBODY;
      };
      await at.server.apply(manifest('edited', { targets: [TARGET], nodes, interval: '20s' }));
      await at.server.kubectl('delete', 'hsp', 'gone', 'anew');
      await at.server.apply(manifest('anew', { targets: [TARGET], nodes }));
      const shop = targetOf('shop');
      await until('the changes are known', () => {
        const now = at.controller.assignmentOf('ferry')?.map(({ ref }) => ref) ?? [];
        const stale = ['edited', 'gone', 'anew'].some((name) => now.includes(targetOf(name).ref));
        return now.length === 3 && !stale ? true : undefined;
      });
      const names = ['shop', 'edited', 'anew'];
      for (const name of names) await condition(at, name, 'Ready', 'Unknown');
      const versions = () =>
        Promise.all(
          names.map(
            async (name) =>
              (await at.server.client.get(HANDSHAKE_PROBES, 'default', name)).metadata?.resourceVersion,
          ),
        );
      const written = await versions();
      const assignment = at.controller.assignmentOf('ferry');

      const [namespace, name, target, uid, generation] = shop.ref?.split('/') ?? [];
      const refs = {
        malformed: 'default/shop',
        empty: '',
        long: `${shop.ref}/1`,
        'not a number': [namespace, name, target, uid, '1e0'].join('/'),
        'of another target': [namespace, name, 'other', uid, generation].join('/'),
        'of another generation': [namespace, name, target, uid, '2'].join('/'),
        'of another probe of the name': [namespace, name, target, crypto.randomUUID(), generation].join('/'),
        'of another namespace': ['kube-system', name, target, uid, generation].join('/'),
        'of an object like others': `__proto__/constructor/${target}/${uid}/${generation}`,
      };
      const forged: [string, ProbeTarget][] = [
        ...Object.values(refs).map((ref): [string, ProbeTarget] => ['ferry', { ...shop, ref }]),
        ['harbour', shop],
        ['nowhere', shop],
        ['ferry', { ...shop, host: '10.0.0.8' }],
        ['ferry', { ...shop, port: 81 }],
        ['ferry', targetOf('edited')],
        ['ferry', targetOf('gone')],
        ['ferry', targetOf('anew')],
      ];
      for (const [node, each] of forged) at.controller.onResult(node, resultFor(each));
      const { results, unknownResults, failedResults } = at.controller.counters();
      assert.equal([results, unknownResults, failedResults], [0, forged.length, 0]);

      at.controller.onResult('ferry', resultFor(shop));
      await condition(at, 'shop', 'Ready', 'True');
      assert.equal((await versions()).slice(1), written.slice(1), 'what was not asked for was not written');
      assert.is((await statusOf(at, 'shop'))?.expected, '1/1');
      assert.equal(at.controller.assignmentOf('ferry'), assignment);
      assert.equal(at.events, []);
    },
    NEEDS,
  );
});
