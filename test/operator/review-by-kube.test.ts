import * as assert from 'uvu/assert';
import { reviewBy } from '../../operator/ingest/review-by-kube.ts';
import type { KubeObject } from '../../operator/kube/client.ts';
import type { Resource } from '../../operator/kube/resource.ts';
import { rejects, spec } from '../harness.ts';

/** An API server that answers when it is told to. */
function slowServer() {
  const open: PromiseWithResolvers<KubeObject>[] = [];
  const asked: KubeObject[] = [];
  return {
    asked,
    open,
    create(_resource: Resource, object: KubeObject) {
      asked.push(object);
      const answer = Promise.withResolvers<KubeObject>();
      open.push(answer);
      return answer.promise;
    },
  };
}

spec('operator: asking for reviews', (test) => {
  test('sends the token and the audience, and gives the status', async () => {
    const server = slowServer();
    const asking = reviewBy(server, 'finwait.tcp')('t');
    assert.equal(server.asked, [{ spec: { token: 't', audiences: ['finwait.tcp'] } }]);
    server.open[0]?.resolve({ status: { authenticated: true } });
    assert.equal(await asking, { authenticated: true });
  });

  test('asks about few tokens at once; the others wait their turn', async () => {
    const server = slowServer();
    const review = reviewBy(server, 'a');
    const all = Promise.all(Array.from({ length: 100 }, (_, i) => review(`t${i}`)));
    let most = 0;
    for (let answered = 0; answered < 100; answered++) {
      while (server.open.length <= answered) await new Promise(setImmediate);
      most = Math.max(most, server.open.length - answered);
      server.open[answered]?.resolve({ status: {} });
      await new Promise(setImmediate);
    }
    await all;
    assert.is(most, 32);
  });

  test('gives up on an answer that does not come, and does not ask more meanwhile', async () => {
    const server = slowServer();
    const review = reviewBy(server, 'a', 20);
    await Promise.all(Array.from({ length: 40 }, () => rejects(review('t'), /no answer within 0.02 s/)));
    assert.is(server.open.length, 32);
    for (const one of server.open.splice(0)) one.reject(new Error('away'));
    await new Promise(setImmediate);
    for (const one of server.open.splice(0)) one.reject(new Error('away'));
    await new Promise(setImmediate);
    const asking = review('late');
    server.open[0]?.resolve({ status: {} });
    assert.equal(await asking, {});
  });
});
