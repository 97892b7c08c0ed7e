import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import * as assert from 'uvu/assert';
import { spec } from '../harness.ts';
import { ROOT } from '../support/child.ts';
import { cliRun } from './cli-run.ts';

const PAGES = ['README.md', 'docs/cli.md', 'docs/configuration.md'];
/** Pages that name the options of other programs, too. */
const CLUSTER_PAGES = ['docs/install.md', 'docs/security.md', 'charts/finwait/README.md'];

async function knownOptions(): Promise<Set<string>> {
  const { stdout } = await cliRun(['--help']);
  const commands = [...stdout.matchAll(/^ {2}(\w+) {2,}/gm)].map(([, name]) => name ?? '');
  const helps = await Promise.all(commands.map((name) => cliRun([name, '--help'])));
  return new Set(helps.flatMap((help) => help.stdout.match(/--[a-z][a-z0-9-]*/g) ?? []));
}

spec('the pages for users', (test) => {
  test('lead nowhere that does not exist', () => {
    for (const page of [...PAGES, ...CLUSTER_PAGES]) {
      const text = readFileSync(join(ROOT, page), 'utf8');
      for (const [, link = ''] of text.matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g)) {
        assert.ok(existsSync(join(ROOT, dirname(page), link)), `${page}: ${link}`);
      }
    }
  });

  test('name only options that a command takes', async () => {
    const known = new Set([...(await knownOptions()), '--help', '--version']);
    for (const page of PAGES) {
      const named = readFileSync(join(ROOT, page), 'utf8').match(/(?<![\w-])--[a-z][a-z0-9-]*/g) ?? [];
      assert.ok(named.length > 0, page);
      for (const option of named) assert.ok(known.has(option), `${page}: ${option}`);
    }
  });
});
