import * as assert from 'uvu/assert';
import type { Holder, Listener } from '#contract';
import { holderLines, holderRows, holderText } from '../../cli/view-holders.ts';
import { spec } from '../harness.ts';
import { holder, listener, nodeView, probe } from './view-fixture.ts';

function texts(holders: readonly Holder[], listeners: readonly Listener[] = []): string[] {
  const { sockets } = nodeView();
  if (sockets === undefined) throw new Error('the fixture has sockets');
  const probes = [probe('127.0.0.1:22')];
  return holderRows(nodeView({ sockets: { ...sockets, holders, listeners }, probes })).map(holderText);
}

const nobody = { state: 'TIME-WAIT', process: null, attribution: 'unknown', count: 1 } as const;

spec('holders', (test) => {
  test('TIME-WAIT towards ports that the kernel chose is one row', () => {
    const many = Array.from({ length: 20 }, (_, index) =>
      holder({ ...nobody, peer: '127.0.0.1', port: 40_000 + index, oldestMs: 1000 * index }),
    );
    assert.equal(texts(many), ['TIME-WAIT 20, owner unknown, → 127.0.0.1, 20 high ports, oldest 19s']);
    assert.is(texts([...many, holder({ ...nobody, peer: '10.0.0.9', port: 40_000 })]).length, 2);
  });

  test('CLOSE-WAIT and ports of services are never folded', () => {
    const leaks = [holder({ port: 40_000 }), holder({ port: 40_001 })];
    const services = [holder({ ...nobody, port: 80 }), holder({ ...nobody, port: 443 })];
    assert.is(texts([...leaks, ...services]).length, 4);
  });

  test('an unknown owner is told by who listens at the other end, when that is here', () => {
    const high = holder({ ...nobody, peer: '127.0.0.1', port: 41_000 });
    assert.equal(
      texts(
        [high, holder({ ...nobody, peer: '127.0.0.1', port: 41_001 })],
        [listener('0.0.0.0', 41_000, 'api', 7)],
      ),
      [
        'TIME-WAIT 1, owner unknown, to api/7, → 127.0.0.1:41000, oldest 3m12s',
        'TIME-WAIT 1, owner unknown, → 127.0.0.1:41001, oldest 3m12s',
      ],
    );
    const elsewhere = holder({ ...nobody, peer: '10.0.0.9', port: 41_000 });
    assert.not.match(String(texts([elsewhere], [listener('0.0.0.0', 41_000, 'api', 7)])), /api/);
  });

  test('of other networks say whose, and are rows of their own', () => {
    const [netns, uid] = [4_026_532_201, 'f5a1c7de-0b5a-4c39-9f4f-2f7d1f0a9b11'];
    assert.equal(
      texts([holder({ count: 3 }), holder({ count: 2, netns }), holder({ count: 1, pod: { uid } })]),
      [
        'CLOSE-WAIT 3, java/4211, → 10.0.0.5:5432, oldest 3m12s',
        'CLOSE-WAIT 2, java/4211, → 10.0.0.5:5432, netns 4026532201, oldest 3m12s',
        'CLOSE-WAIT 1, java/4211, → 10.0.0.5:5432, pod f5a1c7de, oldest 3m12s',
      ],
    );
    const high = { ...nobody, peer: '10.0.0.9', port: 40_000 };
    assert.is(texts([holder(high), holder({ ...high, netns })]).length, 2);
    const { sockets } = nodeView();
    if (sockets === undefined) throw new Error('the fixture has sockets');
    const titles = (holders: readonly Holder[]) =>
      holderLines(nodeView({ sockets: { ...sockets, holders } }), 140, 9)[0]
        ?.map(({ text }) => text)
        .join('');
    assert.match(titles([holder({ netns })]) ?? '', /connection +network +attribution/);
    assert.match(titles([holder()]) ?? '', /connection +attribution/);
  });

  test("finwait's own are marked and come last", () => {
    const own = holder({ direction: 'inbound', peer: '198.18.77.2', port: 22, count: 99 });
    assert.equal(texts([own, holder({ count: 1 })]), [
      'CLOSE-WAIT 1, java/4211, → 10.0.0.5:5432, oldest 3m12s',
      'CLOSE-WAIT 99, java/4211, :22 ← 198.18.77.2*, oldest 3m12s',
    ]);
  });
});
