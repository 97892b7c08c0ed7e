import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { namespacesCondition } from '../../../daemon/track/namespace-condition.ts';
import { spec } from '../../harness.ts';
import { makeTempDir } from '../../support/temp-dir.ts';

spec('what is said of namespaces that are not seen', (test) => {
  test('names a /proc that does not show the processes of others', async () => {
    await using proc = await makeTempDir('proc');
    const finder = { alone: true, denied: false, mountsDenied: false, full: false, procRoot: proc.path };
    const condition = namespacesCondition(finder, undefined, 0);
    assert.is(condition?.code, 'NAMESPACES_PARTIAL');
    assert.match(condition?.message ?? '', /hidepid/);
    mkdirSync(join(proc.path, '1'));
    assert.is(namespacesCondition(finder, undefined, 0), undefined);
  });
});
