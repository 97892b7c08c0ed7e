import * as assert from 'uvu/assert';
import type { KubeClient } from '../../../operator/kube/client.ts';
import { KubeError } from '../../../operator/kube/kube-error.ts';
import type { LeaderElection } from '../../../operator/kube/leader-election.ts';
import { createLeaderElection } from '../../../operator/kube/leader-election.ts';
import { LEASES } from '../../../operator/kube/resource.ts';
import { startApiServer } from '../../cluster/api-server.ts';
import { spec } from '../../harness.ts';
import { until } from '../../support/until.ts';

const NEEDS = { needs: ['cluster' as const], timeoutMs: 180_000 };
/** Room for slow answers: no test waits for any of these but the pause between two tries. */
const DURATIONS = { leaseMs: 50_000, renewDeadlineMs: 30_000, retryMs: 100, releaseMs: 30_000 };
const seen = (look: () => boolean): Promise<true> =>
  until(look.toString(), () => look() || undefined, 60_000);

type Client = Pick<KubeClient, 'get' | 'create' | 'update'>;

function elector(client: Client, identity: string, monotonicMs = () => performance.now()): LeaderElection {
  const election = createLeaderElection({
    client,
    namespace: 'default',
    name: 'finwait',
    identity,
    address: `https://${identity}:7461`,
    log: { log: () => {} },
    durations: DURATIONS,
    monotonicMs,
  });
  election.start();
  return election;
}

/** A client whose process can be killed: from then on it says nothing any more. */
function killable(client: Client): Client & { kill(): void } {
  let dead = false;
  const unlessDead = <A extends unknown[], R>(call: (...args: A) => Promise<R>) => {
    return (...args: A): Promise<R> =>
      dead ? Promise.reject(new KubeError(0, 'Unreachable', 'killed')) : call(...args);
  };
  return {
    get: unlessDead(client.get),
    create: unlessDead(client.create),
    update: unlessDead(client.update),
    kill() {
      dead = true;
    },
  };
}

spec('leader election on a real Lease', (test) => {
  test(
    'makes one of two the leader, and both know where it is',
    async () => {
      await using server = await startApiServer();
      const [a, b] = [elector(server.client, 'a'), elector(server.client, 'b')];
      await seen(() => a.isLeader() !== b.isLeader());
      const [leader, other] = a.isLeader() ? [a, b] : [b, a];
      const name = leader === a ? 'a' : 'b';
      await seen(() => other.leader()?.identity === name);
      assert.equal(other.leader(), { identity: name, address: `https://${name}:7461` });
      const lease = await server.client.get(LEASES, 'default', 'finwait');
      const spec = lease.spec as Record<string, string>;
      assert.is(spec.holderIdentity, name);
      assert.match(spec.renewTime ?? '', /\.\d{6}Z$/);
      await Promise.all([a.stop(), b.stop()]);
    },
    NEEDS,
  );

  test(
    'takes over at once from a leader that gives up, and leaves the Lease renewed by the same since the same time',
    async () => {
      await using server = await startApiServer();
      const a = elector(server.client, 'a');
      await seen(() => a.isLeader());
      const acquired = async () =>
        (await server.client.get(LEASES, 'default', 'finwait')).spec as Record<string, unknown>;
      const first = await acquired();
      // No time passes for it: it can lead only because the Lease was given up.
      const b = elector(server.client, 'b', () => 0);
      await seen(() => b.leader()?.identity === 'a');
      const renewed = await acquired();
      assert.is(renewed.acquireTime, first.acquireTime);
      assert.not(b.isLeader());
      await a.stop();
      assert.not(a.isLeader());
      await seen(() => b.isLeader());
      assert.is((await acquired()).leaseTransitions, 1);
      await b.stop();
    },
    NEEDS,
  );

  test(
    'takes over from a leader that was killed when its Lease has ended, and the dead one had stopped leading before',
    async () => {
      await using server = await startApiServer();
      const client = killable(server.client);
      let nowMs = 0;
      const a = elector(client, 'a', () => nowMs);
      await seen(() => a.isLeader());
      const b = elector(server.client, 'b', () => nowMs);
      await seen(() => b.leader()?.identity === 'a');
      const order: string[] = [];
      a.onChange((leading) => order.push(`a ${leading}`));
      b.onChange((leading) => order.push(`b ${leading}`));
      client.kill();
      await seen(() => {
        nowMs += 500;
        return b.isLeader();
      });
      assert.ok(nowMs >= DURATIONS.leaseMs, `after ${nowMs} ms`);
      assert.equal(order, ['a false', 'b true']);
      await Promise.all([a.stop(), b.stop()]);
    },
    NEEDS,
  );

  test(
    'renews it for as long as it leads, without a fault',
    async () => {
      await using server = await startApiServer();
      let renewals = 0;
      const a = elector(
        {
          ...server.client,
          update: (...args) => {
            renewals++;
            return server.client.update(...args);
          },
        },
        'a',
      );
      const turns: boolean[] = [];
      a.onChange((leading) => turns.push(leading));
      const faults = new Set<string>();
      await seen(() => {
        for (const { message } of a.conditions()) faults.add(message);
        return renewals >= 20;
      });
      assert.equal([...faults], []);
      assert.equal(turns, [true]);
      await a.stop();
    },
    NEEDS,
  );

  test(
    'keeps the lead when somebody edits the Lease just as it is renewed',
    async () => {
      await using server = await startApiServer();
      let edits = 0;
      const { client } = server;
      const a = elector(
        {
          ...client,
          async get(...args) {
            const lease = await client.get(...args);
            if (a.isLeader() && edits < 1) {
              edits++;
              await client.patch(LEASES, 'default', 'finwait', { metadata: { labels: { edited: 'yes' } } });
            }
            return lease;
          },
        },
        'a',
      );
      const turns: boolean[] = [];
      a.onChange((leading) => turns.push(leading));
      const renewal = async (): Promise<unknown> =>
        ((await client.get(LEASES, 'default', 'finwait')).spec as Record<string, unknown>).renewTime;
      await seen(() => edits === 1);
      const before = await renewal();
      await until('renewed', async () => (await renewal()) !== before || undefined, 60_000);
      assert.equal(turns, [true]);
      const lease = await client.get(LEASES, 'default', 'finwait');
      assert.equal(lease.metadata?.labels, { edited: 'yes' });
      await a.stop();
    },
    NEEDS,
  );

  test(
    'fills a Lease that was made without a holder',
    async () => {
      await using server = await startApiServer();
      await server.client.create(LEASES, {
        metadata: { namespace: 'default', name: 'finwait', labels: { app: 'x' } },
      });
      const a = elector(server.client, 'a');
      await seen(() => a.isLeader());
      const lease = await server.client.get(LEASES, 'default', 'finwait');
      assert.equal(lease.metadata?.labels, { app: 'x' });
      await a.stop();
      const released = (await server.client.get(LEASES, 'default', 'finwait')).spec as Record<
        string,
        unknown
      >;
      assert.is(released.holderIdentity ?? '', '');
    },
    NEEDS,
  );

  test(
    'takes a Lease within a minute that somebody edited to be held by nobody for years',
    async () => {
      await using server = await startApiServer();
      await server.client.create(LEASES, {
        metadata: { namespace: 'default', name: 'finwait' },
        spec: { holderIdentity: 'nobody', leaseDurationSeconds: 2 ** 31 - 1 },
      });
      let passedMs = 0;
      const a = elector(server.client, 'a', () => performance.now() + passedMs);
      await seen(() => a.leader()?.identity === 'nobody');
      assert.not(a.isLeader());
      passedMs = 61_000;
      await seen(() => a.isLeader());
      await a.stop();
    },
    NEEDS,
  );

  test(
    'makes a Lease anew that somebody deleted, and calls it no fault that another was faster',
    async () => {
      await using server = await startApiServer();
      const a = elector(server.client, 'a');
      await seen(() => a.isLeader());
      await server.client.delete(LEASES, 'default', 'finwait');
      const lease = await until(
        'there is a Lease',
        () => server.client.get(LEASES, 'default', 'finwait').catch(() => undefined),
        60_000,
      );
      assert.is((lease.spec as Record<string, unknown>).holderIdentity, 'a');
      let tries = 0;
      const late = {
        ...server.client,
        get: () => Promise.reject(new KubeError(404, 'NotFound', 'not there yet')),
        create: (...args: Parameters<Client['create']>) => {
          tries++;
          return server.client.create(...args);
        },
      };
      const b = elector(late, 'b');
      await seen(() => tries >= 3);
      assert.equal([b.isLeader(), b.conditions()], [false, []]);
      await Promise.all([a.stop(), b.stop()]);
    },
    NEEDS,
  );
});
