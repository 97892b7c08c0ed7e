import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { spec } from '../harness.ts';
import { configurationPage } from './configuration-page.ts';

const PATH = join(import.meta.dirname, '..', '..', 'docs', 'configuration.md');

spec('docs/configuration.md', (test) => {
  test('says what the settings tables say', () => {
    if (process.env.FINWAIT_UPDATE_DOCS === '1') writeFileSync(PATH, configurationPage());
    assert.fixture(
      readFileSync(PATH, 'utf8'),
      configurationPage(),
      'run FINWAIT_UPDATE_DOCS=1 npm test -- cli/configuration',
    );
  });
});
