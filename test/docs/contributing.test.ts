import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { spec } from '../harness.ts';
import { NEEDS } from '../support/needs.ts';

spec('contributing', (test) => {
  test('docs/contributing.md explains every need that a test can have', () => {
    const text = readFileSync(join(import.meta.dirname, '../../docs/contributing.md'), 'utf8');
    const explained = [...text.matchAll(/^\| `([a-z-]+)` \|/gm)].map(([, need]) => need);
    assert.equal(explained, Object.keys(NEEDS));
  });
});
