/** The scripts under scripts/. */

import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { parseScript, type Script } from './script.ts';

const FOLDER = join(import.meta.dirname, 'scripts');

/** All of them, in the order of their names. @throws Error for one that cannot be read */
export function readScripts(): Script[] {
  return readdirSync(FOLDER, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.trace'))
    .toSorted()
    .map((name) => readScript(join(FOLDER, name)));
}

export function readScript(path: string): Script {
  return parseScript(relative(FOLDER, path), readFileSync(path, 'utf8'));
}

/** Each way a script runs, with a name. */
export function variants(script: Script): {
  readonly title: string;
  readonly role: Script['roles'][number];
  readonly family: 4 | 6;
}[] {
  return script.roles.flatMap((role) =>
    script.families.map((family) => {
      const ways = [role, `IPv${family}`].filter((way) => way !== undefined).join(', ');
      return { title: `${script.name} (${ways}): ${script.title}`, role, family };
    }),
  );
}
