import * as assert from 'uvu/assert';
import type { KubeObject } from '../../../operator/kube/client.ts';
import type { EventInput } from '../../../operator/kube/event-recorder.ts';
import { createEventRecorder } from '../../../operator/kube/event-recorder.ts';
import { EVENTS } from '../../../operator/kube/resource.ts';
import { startApiServer } from '../../cluster/api-server.ts';
import { spec } from '../../harness.ts';

const log = { log: () => {} };

function event(changes: Partial<EventInput> = {}): EventInput {
  return {
    regarding: { apiVersion: 'v1', kind: 'Pod', namespace: 'default', name: 'shop', uid: 'u' },
    type: 'Warning',
    reason: 'CloseWaitPilesUp',
    action: 'Diagnose',
    note: '100 connections wait',
    ...changes,
  };
}

spec('Events on a real API server', (test) => {
  test(
    'that repeat become a series of one, and begin anew after six quiet minutes',
    async () => {
      await using server = await startApiServer();
      let nowMs = Date.now();
      const recorder = createEventRecorder({
        client: server.client,
        instance: 'op-1',
        log,
        nowMs: () => nowMs,
      });
      recorder.record(event());
      nowMs += 60_000;
      recorder.record(event({ note: '120 connections wait' }));
      nowMs += 60_000;
      recorder.record(event({ note: '130 connections wait' }));
      recorder.record(event({ reason: 'Other' }));
      await recorder.stop();
      const list = async () => (await server.client.list(EVENTS, { namespace: 'default' })).items;
      const piled = (await list()).filter(({ reason }) => reason === 'CloseWaitPilesUp');
      assert.is(piled.length, 1);
      assert.is((piled[0]?.series as { count?: number } | undefined)?.count, 3);
      assert.is(piled[0]?.note, '100 connections wait', 'the note of an Event cannot change');
      assert.is((await list()).length, 2);
      nowMs += 6 * 60_000;
      recorder.record(event());
      await recorder.stop();
      assert.is((await list()).length, 3);
      assert.equal(recorder.counters, { created: 3, repeated: 2, dropped: 0, failed: 0 });
    },
    { needs: ['cluster'], timeoutMs: 180_000 },
  );

  test(
    'are written with a note and a name however long, cut where the API server wants it',
    async () => {
      await using server = await startApiServer();
      const recorder = createEventRecorder({ client: server.client, instance: 'op-1', log });
      const longName = `${'a'.repeat(199)}-${'b'.repeat(40)}`;
      const regarding = { apiVersion: 'v1', kind: 'Pod', namespace: 'default', name: longName };
      recorder.record(event({ note: 'n'.repeat(2000), reason: 'Long' }));
      recorder.record(event({ note: `${'€'.repeat(340)}😀😀`, reason: 'Wide' }));
      recorder.record(event({ regarding }));
      await recorder.stop();
      assert.equal(recorder.counters, { created: 3, repeated: 0, dropped: 0, failed: 0 });
      const { items } = await server.client.list(EVENTS, { namespace: 'default' });
      const noteOf = (wanted: string) => items.find(({ reason }) => reason === wanted)?.note;
      assert.is(noteOf('Long'), `${'n'.repeat(1021)}…`);
      assert.is(noteOf('Wide'), `${'€'.repeat(340)}…`, 'no half of a character');
    },
    { needs: ['cluster'], timeoutMs: 180_000 },
  );

  test(
    'about nodes are in the namespace default, with what they are related to',
    async () => {
      await using server = await startApiServer();
      const recorder = createEventRecorder({ client: server.client, instance: 'op-1', log });
      const related = { apiVersion: 'finwait.io/v1alpha1', kind: 'NodeTCPReport', name: 'ferry' };
      recorder.record(event({ regarding: { apiVersion: 'v1', kind: 'Node', name: 'ferry' }, related }));
      await recorder.stop();
      assert.is(recorder.counters.created, 1);
      const [written] = (await server.client.list(EVENTS, { namespace: 'default' })).items;
      assert.is((written?.related as { kind?: string } | undefined)?.kind, 'NodeTCPReport');
      assert.match(await server.kubectl('get', 'events'), /CloseWaitPilesUp\s+node\/ferry/);
    },
    { needs: ['cluster'], timeoutMs: 180_000 },
  );
});

spec('Events', (test) => {
  test('are bounded for each object they are about, and the rest is counted', async () => {
    const created: KubeObject[] = [];
    let nowMs = 0;
    const client = {
      create: async (_: unknown, object: KubeObject) => {
        created.push(object);
        return object;
      },
      patch: async () => ({}),
    };
    const recorder = createEventRecorder({ client, instance: 'op', log, nowMs: () => nowMs });
    for (let i = 0; i < 40; i++) recorder.record(event({ reason: `Reason${i}` }));
    recorder.record(
      event({ regarding: { apiVersion: 'v1', kind: 'Pod', namespace: 'default', name: 'other' } }),
    );
    await recorder.stop();
    assert.is(created.length, 26);
    assert.is(recorder.counters.dropped, 15);
    nowMs += 5 * 60_000;
    recorder.record(event({ reason: 'Later' }));
    await recorder.stop();
    assert.is(created.length, 27);
  });
});
