import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { VERDICTS } from '#contract';
import { spec } from '../../harness.ts';

const PAGE = readFileSync(join(import.meta.dirname, '../../../docs/verdicts.md'), 'utf8');

spec('docs/verdicts.md', (test) => {
  test('says of every verdict, and no other, what it means and what to do', () => {
    const rows = PAGE.split('\n').filter((line) => line.startsWith('| `'));
    const cells = rows.map((row) => row.split(' | '));
    assert.equal(cells.map(([name = '']) => name.replace(/[|` ]/g, '')).sort(), VERDICTS.toSorted());
    assert.ok(cells.every(({ length }) => length === 5));
  });
});
