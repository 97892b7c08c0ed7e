/** Finds the source files of a tree and what each imports. */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface SourceFile {
  /** Path from the root. */
  readonly path: string;
  readonly text: string;
  /** The text with comments blanked, so that words in them are not taken for code. Lines stay where they are. */
  readonly code: string;
}

export interface Import {
  /** As written: `./x.ts`, `#base/errors.ts`, `node:fs`, `koffi`; undefined when it is not a literal. */
  readonly specifier: string | undefined;
  readonly line: number;
}

const LEFT_OUT = new Set(['node_modules', '.git', 'coverage', '.cache']);

/** Every text file below `root` that is ours. */
export function readTree(root: string, below = ''): SourceFile[] {
  return readdirSync(join(root, below), { withFileTypes: true }).flatMap((entry) => {
    const path = below === '' ? entry.name : `${below}/${entry.name}`;
    if (LEFT_OUT.has(entry.name)) return [];
    if (entry.isDirectory()) return readTree(root, path);
    if (!entry.isFile() || !/\.(ts|mjs|js|md|json|ya?ml|sh|html|css|tpl)$|^\.ci\/run$|Dockerfile$/.test(path))
      return [];
    const text = readFileSync(join(root, path), 'utf8');
    return [{ path, text, code: withoutComments(text) }];
  });
}

export function isProgram(file: SourceFile): boolean {
  return /\.(ts|mjs|js)$/.test(file.path);
}

export function isTest(file: SourceFile): boolean {
  return file.path.startsWith('test/');
}

/** `import`, `import type`, `export ... from`, `import()`, `new URL(..., import.meta.url)` of a worker, `require()`. */
export function importsOf(file: SourceFile): Import[] {
  const forms = [
    /^[ \t]*(?:import|export)\b[^'";]*?\bfrom\s*(['"])(?<specifier>[^'"]+)\1/gm,
    /^[ \t]*import\s*(['"])(?<specifier>[^'"]+)\1/gm,
    /\bimport\((?:\s*(['"])(?<specifier>[^'"]+)\1\s*[,)])?/g,
    /\bnew URL\(\s*(['"])(?<specifier>[^'"]+\.ts)\1,\s*import\.meta\.url/g,
    /\brequire\((?:\s*(['"])(?<specifier>[^'"]+)\1\s*\))?/g,
  ];
  return forms.flatMap((form) =>
    [...file.code.matchAll(form)].map((match) => ({
      specifier: match.groups?.specifier,
      line: lineAt(file.code, match.index),
    })),
  );
}

export function lineAt(text: string, index: number): number {
  return text.slice(0, index).split('\n').length;
}

/** Blanks comments that begin a line or follow a space; what looks like one inside a string has neither. */
function withoutComments(text: string): string {
  return text
    .replace(/(^|\s)\/\*[\s\S]*?\*\//g, (comment) => comment.replace(/[^\n]/g, ' '))
    .replace(/(^|\s)\/\/.*$/gm, (comment) => comment.replace(/[^\n]/g, ' '));
}
