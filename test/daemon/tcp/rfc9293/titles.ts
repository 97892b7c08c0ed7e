/** Titles of tests, and which requirements they name. */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Title {
  /** From the root of the project. */
  readonly file: string;
  readonly text: string;
}

const TITLE = /\b(?:test|spec)\(\s*(['"`])((?:\\.|(?!\1)[^\\])*)\1/g;
const ID = /\b(?:MUST-\d+|SHLD-\d+|REC-\d+|MAY-\d+|N[1-8])(?:[a-c](?![a-z]))?(?=$|[^\w-])/g;

/** Titles of all tests and of their groups in the files below `folders`. */
export function titlesIn(root: string, folders: readonly string[]): Title[] {
  return folders.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.test.ts'))
      .toSorted()
      .flatMap((name) => {
        const file = join(folder, name);
        const source = readFileSync(join(root, file), 'utf8');
        return [...source.matchAll(TITLE)].map(([, , text = '']) => ({ file, text }));
      }),
  );
}

/** Ids of requirements that a title names. */
export function idsOf(title: Title): string[] {
  return title.text.match(ID) ?? [];
}
