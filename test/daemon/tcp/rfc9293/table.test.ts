import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { spec } from '../../../harness.ts';
import { DEVIATIONS } from './deviations.ts';
import { filesNaming, requirementsPage } from './page.ts';
import { REQUIREMENTS } from './requirements.ts';
import { idsOf, titlesIn } from './titles.ts';

const ROOT = join(import.meta.dirname, '../../../..');
const PAGE = join(ROOT, 'docs/rfc9293.md');
const TITLES = titlesIn(ROOT, ['test/daemon', 'test/netsim']);
const IDS = REQUIREMENTS.map(([id]) => id);

spec('requirements of RFC 9293', (test) => {
  test('they are those of appendix B, and eight more', () => {
    assert.is(IDS.length, 133);
    assert.is(new Set(IDS).size, IDS.length);
  });

  test('each has a test that names it, or a deviation with a reason, and not both', () => {
    for (const id of IDS) {
      const files = filesNaming(id, TITLES);
      if (DEVIATIONS[id] === undefined)
        assert.ok(files.length > 0, `${id} has neither a test nor a deviation`);
      else assert.is(files.join(), '', `${id} is a deviation and has a test`);
    }
  });

  test('no test and no deviation names one that there is not', () => {
    const named = [...TITLES.flatMap(idsOf), ...Object.keys(DEVIATIONS)];
    assert.equal(
      [...new Set(named)].filter((id) => !IDS.includes(id)),
      [],
    );
  });

  test('docs/rfc9293.md says so (FINWAIT_UPDATE_DOCS=1 writes it)', () => {
    const page = requirementsPage(TITLES);
    if (process.env.FINWAIT_UPDATE_DOCS === '1') writeFileSync(PAGE, page);
    assert.is(readFileSync(PAGE, 'utf8'), page);
  });
});
