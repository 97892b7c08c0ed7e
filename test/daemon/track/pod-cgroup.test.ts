import * as assert from 'uvu/assert';
import { podOfCgroup } from '../../../daemon/track/pod-cgroup.ts';
import { spec } from '../../harness.ts';

const UID = '7d7a3b8e-0f3c-4d4a-9c62-3f1f6f9a2b11';
const SLICE = UID.replaceAll('-', '_');
const ID = 'ab12cd34'.repeat(8);
const OTHER = 'ffee0011'.repeat(8);

spec('the cgroup of a process', (test) => {
  for (const [who, text, containerId] of [
    ['containerd with the cgroupfs driver, version 1', `11:memory:/kubepods/burstable/pod${UID}/${ID}`, ID],
    ['a guaranteed pod', `0::/kubepods/pod${UID}/${ID}`, ID],
    [
      'containerd with the systemd driver',
      `0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod${SLICE}.slice/cri-containerd-${ID}.scope`,
      ID,
    ],
    [
      'docker with the systemd driver',
      `1:name=systemd:/kubepods.slice/kubepods-pod${SLICE}.slice/docker-${ID}.scope`,
      ID,
    ],
    [
      'CRI-O with crun',
      `0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod${SLICE}.slice/crio-${ID}.scope/container`,
      ID,
    ],
    [
      "CRI-O's monitor, which is in no container",
      `0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod${SLICE}.slice/crio-conmon-${ID}.scope`,
      undefined,
    ],
    [
      "containerd where systemd's names meet the cgroupfs driver",
      `5:devices:/system.slice/containerd.service/kubepods-burstable-pod${SLICE}.slice:cri-containerd:${ID}`,
      ID,
    ],
    [
      'a node in a container (kind)',
      `0::/docker/${OTHER}/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-pod${SLICE}.slice/cri-containerd-${ID}.scope`,
      ID,
    ],
    ['a node with a root of its own', `4:cpu:/node-b/kubepods/besteffort/pod${UID}/${ID}`, ID],
    ['a process below its container (systemd in it)', `0::/kubepods/pod${UID}/${ID}/init.scope`, ID],
    ['seen from another pod of the same class', `0::/../../pod${UID}/${ID}`, ID],
    [
      'seen from another cgroup namespace',
      `0::/../../../kubepods-besteffort.slice/kubepods-besteffort-pod${SLICE}.slice/cri-containerd-${ID}.scope`,
      ID,
    ],
    ['the pod itself', `0::/kubepods/burstable/pod${UID}`, undefined],
    [
      'version 1 and 2 side by side, where only one line tells',
      `12:cpuset:/\n8:memory:/kubepods/pod${UID}/${ID}\n0::/`,
      ID,
    ],
    [
      'a pod in a pod: the outer one',
      `0::/kubepods/pod${UID}/${ID}/kubepods/pod${'0'.repeat(32)}/${OTHER}`,
      ID,
    ],
  ] as const) {
    test(`is read of ${who}`, () => {
      assert.equal(podOfCgroup(`${text}\n`), {
        uid: UID,
        ...(containerId === undefined ? {} : { containerId }),
      });
    });
  }

  test('of a static pod holds the hash of its manifest', () => {
    const uid = '0123456789abcdef'.repeat(2);
    assert.equal(podOfCgroup(`0::/kubepods/burstable/pod${uid}/${ID}`), { uid, containerId: ID });
  });

  for (const text of [
    '',
    '0::/',
    '0::/system.slice/sshd.service',
    '0::/user.slice/user-1000.slice/user@1000.service/app.slice/podman.service',
    `0::/machine.slice/libpod-${ID}.scope`,
    `0::/docker/${ID}`,
    '0::/kubepods/burstable',
    `0::/kubepods/burstable/pod${UID}extra/${ID}`,
    `0::/kubepods/burstable/pod-of-somebody/${ID}`,
    'no colons at all',
  ]) {
    test(`that is no pod's: ${JSON.stringify(text)}`, () => {
      assert.is(podOfCgroup(text), undefined);
    });
  }
});
