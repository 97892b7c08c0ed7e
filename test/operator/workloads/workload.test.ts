import * as assert from 'uvu/assert';
import type { OwnerRef } from '../../../operator/workloads/workload.ts';
import { podRecord, workloadOf } from '../../../operator/workloads/workload.ts';
import { spec } from '../../harness.ts';

const REPLICA_SET = { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'shop-5d9f', uid: 'rs-uid' };
const DEPLOYMENT = { apiVersion: 'apps/v1', kind: 'Deployment', name: 'shop', uid: 'd-uid' };

function pod(metadata: object = {}, status: object = {}): object {
  return {
    metadata: { uid: 'pod-uid', namespace: 'web', name: 'shop-5d9f-abcde', ...metadata },
    spec: { nodeName: 'ferry' },
    status,
  };
}

const nobody = (): OwnerRef | undefined => undefined;

spec('workloads', (test) => {
  test('a pod of a Deployment belongs to the Deployment, over its ReplicaSet', () => {
    const record = podRecord(pod({ ownerReferences: [{ ...REPLICA_SET, controller: true }] }));
    const ownerOf = (kind: string, namespace: string, name: string) =>
      kind === 'ReplicaSet' && namespace === 'web' && name === 'shop-5d9f' ? DEPLOYMENT : undefined;
    assert.equal(workloadOf(record, ownerOf), { ...DEPLOYMENT, namespace: 'web' });
  });

  test('a controller that has none above it is the workload', () => {
    const record = podRecord(pod({ ownerReferences: [{ ...REPLICA_SET, controller: true }] }));
    assert.equal(workloadOf(record, nobody), { ...REPLICA_SET, namespace: 'web' });
  });

  test('an owner that does not control the pod is not followed', () => {
    const record = podRecord(pod({ ownerReferences: [REPLICA_SET] }));
    assert.is(workloadOf(record, nobody).kind, 'Pod');
  });

  test('a pod alone is its own workload', () => {
    const expected = {
      apiVersion: 'v1',
      kind: 'Pod',
      namespace: 'web',
      name: 'shop-5d9f-abcde',
      uid: 'pod-uid',
    };
    assert.equal(workloadOf(podRecord(pod()), nobody), expected);
  });

  test('a static pod is its own workload, and known by the UID that the kubelet gave it', () => {
    const node = { apiVersion: 'v1', kind: 'Node', name: 'ferry', uid: 'node-uid', controller: true };
    const record = podRecord(
      pod({ ownerReferences: [node], annotations: { 'kubernetes.io/config.mirror': '0123abcd' } }),
    );
    assert.is(workloadOf(record, nobody).kind, 'Pod');
    assert.is(record.staticUid, '0123abcd');
  });

  test('containers are known by their ids, whatever their runtime and kind; those not started have none', () => {
    const record = podRecord(
      pod(
        {},
        {
          containerStatuses: [{ name: 'app', containerID: 'containerd://aaa' }, { name: 'waiting' }],
          initContainerStatuses: [{ name: 'setup', containerID: 'cri-o://bbb' }],
          ephemeralContainerStatuses: [{ name: 'debug', containerID: 'docker://ccc' }],
        },
      ),
    );
    assert.equal(record.containers, [
      ['aaa', 'app'],
      ['bbb', 'setup'],
      ['ccc', 'debug'],
    ]);
  });

  test('of an object with nothing in it a record is made all the same', () => {
    assert.is(podRecord({}).node, '');
  });
});
