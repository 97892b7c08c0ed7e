import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { spec } from '../harness.ts';
import { flow, socket } from './tables-fixture.ts';

const PAGE = readFileSync(join(import.meta.dirname, '../../docs/tables.md'), 'utf8');

/** The names in the first column of the table under a heading. */
function documented(heading: string): string[] {
  const section = PAGE.split(/^## /m).find((each) => each.startsWith(heading)) ?? '';
  const rows = section.split('\n').filter((line) => line.startsWith('| `'));
  return rows.flatMap((row) =>
    Array.from((row.split(' | ')[0] ?? '').matchAll(/`(\w+)`/g), ([, name]) => name ?? ''),
  );
}

spec('docs/tables.md', (test) => {
  test('lists every field of the JSON of finwait sockets, and no other', () => {
    assert.equal(documented('Fields of `finwait sockets').sort(), Object.keys(socket()).sort());
  });

  test('lists every field of the JSON of finwait conntrack, and no other', () => {
    assert.equal(documented('Fields of `finwait conntrack').sort(), Object.keys(flow()).sort());
  });
});
