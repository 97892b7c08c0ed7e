import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { ERROR_CODES } from '../../base/errors.ts';
import type { SourceFile } from '../architecture/source.ts';
import { isProgram, isTest, readTree } from '../architecture/source.ts';
import { spec } from '../harness.ts';

const ROOT = join(import.meta.dirname, '../..');

interface Entry {
  readonly code: string;
  readonly meaning: string;
  readonly rest: string;
}

/** The sections of docs/errors.md that are headed by a code. */
function entriesOf(markdown: string): Entry[] {
  return markdown
    .split(/^### /m)
    .slice(1)
    .map((section) => {
      const [heading = '', , meaning = '', ...rest] = section.split(/^## /m)[0]?.split('\n') ?? [];
      return { code: heading.replaceAll('`', ''), meaning, rest: rest.join('\n') };
    });
}

/** Codes that a piece of program text names as a literal. */
function namesCode(file: SourceFile, code: string): boolean {
  return file.code.includes(`'${code}'`);
}

spec('errors', (test) => {
  const entries = entriesOf(readFileSync(join(ROOT, 'docs/errors.md'), 'utf8'));
  const sources = readTree(ROOT).filter(
    (file) => isProgram(file) && !isTest(file) && file.path !== 'base/errors.ts',
  );

  test('docs/errors.md lists every code there is, once, and no other', () => {
    assert.equal(entries.map(({ code }) => code).toSorted(), Object.keys(ERROR_CODES).toSorted());
  });

  test('each code is explained in the words of the program, with its cause and what to do', () => {
    for (const { code, meaning, rest } of entries) {
      assert.is(meaning, ERROR_CODES[code as keyof typeof ERROR_CODES], code);
      assert.match(rest, /^- Cause: \S[^\n]+\.$/m, code);
      assert.match(rest, /^- What to do: \S[^\n]+\.$/m, code);
    }
  });

  test('each code is produced somewhere', () => {
    const unused = Object.keys(ERROR_CODES).filter((code) => !sources.some((file) => namesCode(file, code)));
    assert.equal(unused, []);
  });

  test('plain JavaScript, which the compiler does not check, uses only codes that exist', () => {
    for (const file of sources.filter(({ path }) => path.endsWith('.mjs'))) {
      for (const [, code = ''] of file.code.matchAll(/complain\(\s*'([A-Z_0-9]+)'/g)) {
        assert.ok(Object.hasOwn(ERROR_CODES, code), `${file.path} says ${code}`);
      }
    }
  });
});
