import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { isPod, readPodNames } from '../../cli/pod-names.ts';
import { spec } from '../harness.ts';
import { makeTempDir } from '../support/temp-dir.ts';

const UID = '11d1d1d1-2222-4333-8444-555555555555';

spec('names of pods', (test) => {
  test("come from the kubelet's folders; what is none is passed over, as are folders that are missing", async () => {
    await using folder = await makeTempDir('pods');
    for (const name of [`kube-system_dns-7f_${UID}`, 'lost+found', 'a_b', 'a_b_c_d', '_x_y']) {
      mkdirSync(join(folder.path, name));
    }
    assert.equal([...readPodNames([folder.path, join(folder.path, 'none')])], [[UID, 'kube-system/dns-7f']]);
  });

  test('match by the beginning of UID, container, name, or namespace and name', () => {
    const pod = { uid: UID, containerId: 'c0ffee' };
    for (const filter of [UID, '11d1', 'c0ff', 'dns', 'kube-system/dns-7f', 'kube-system/']) {
      assert.ok(isPod(pod, 'kube-system/dns-7f', filter), filter);
    }
    for (const filter of ['1d1', 'system', '7f', 'none', 'default/dns']) {
      assert.not(isPod(pod, 'kube-system/dns-7f', filter), filter);
    }
    assert.ok(isPod(null, null, 'none'));
    assert.not(isPod(null, null, '11'));
    assert.not(isPod(pod, null, 'dns'));
  });
});
