/** What every file must hold to, each rule a function from the tree to complaints of the form `path:line: what`. */

import { dirname, join } from 'node:path';
import type { Room } from './rooms.ts';
import { ROOMS, TEST_PACKAGES } from './rooms.ts';
import type { Import, SourceFile } from './source.ts';
import { importsOf, isProgram, isTest, lineAt } from './source.ts';

export const MAX_LINES = 500;

export function roomOf(path: string): Room | undefined {
  return ROOMS.filter((room) => path === room.path || path.startsWith(`${room.path}/`)).toSorted(
    (a, b) => b.path.length - a.path.length,
  )[0];
}

/** Every import keeps to the table of rooms; every program file lies in a room or under test/. */
export function importComplaints(files: readonly SourceFile[]): string[] {
  return files.filter(isProgram).flatMap((file) => {
    const room = roomOf(file.path);
    if (isTest(file)) return importsOf(file).flatMap((one) => testImportComplaint(file, one));
    if (room === undefined) return [`${file.path}: lies in no room of the table`];
    return importsOf(file).flatMap((one) => {
      const complaint = importComplaint(file.path, room, one.specifier);
      return complaint === undefined ? [] : [`${file.path}:${one.line}: ${complaint}`];
    });
  });
}

function importComplaint(path: string, room: Room, specifier: string | undefined): string | undefined {
  if (specifier === undefined) return 'imports something that is not written out';
  if (specifier.startsWith('node:')) {
    const allowed = room.node === 'any' || room.node.includes(specifier);
    return allowed ? undefined : `${room.path} may not import ${specifier}`;
  }
  const target = ourFile(path, specifier);
  if (target === undefined) {
    const allowed = isAmong(specifier, room.packages ?? []);
    return allowed ? undefined : `${room.path} may not import the package ${specifier}`;
  }
  if (target === 'package.json') return undefined;
  const targetRoom = roomOf(target);
  const allowed =
    targetRoom === room || room.imports.some((name) => target === name || target.startsWith(`${name}/`));
  return allowed ? undefined : `${room.path} may not import ${targetRoom?.path ?? target} (${specifier})`;
}

function testImportComplaint(file: SourceFile, { specifier, line }: Import): string[] {
  if (specifier === undefined || specifier.startsWith('node:')) return [];
  const ours = ourFile(file.path, specifier) !== undefined;
  return ours || isAmong(specifier, TEST_PACKAGES)
    ? []
    : [`${file.path}:${line}: tests may not import the package ${specifier}`];
}

function isAmong(specifier: string, names: readonly string[]): boolean {
  return names.some((name) =>
    name.endsWith('/') ? specifier.startsWith(name) : specifier === name || specifier.startsWith(`${name}/`),
  );
}

/** The path from the root of one of our own files, or undefined for a package. */
function ourFile(from: string, specifier: string): string | undefined {
  if (specifier === '#contract') return 'daemon/contract.ts';
  if (specifier.startsWith('#base/')) return specifier.slice(1);
  return specifier.startsWith('.') ? join(dirname(from), specifier) : undefined;
}

/** Where time and chance are handed in, no file takes them from the machine. */
export function purityComplaints(files: readonly SourceFile[]): string[] {
  const impure =
    /\b(?:Date\.now|new Date\(\)|Math\.random|performance\.now|process\.|setTimeout|setInterval|setImmediate|queueMicrotask|globalThis\.|crypto\.|fetch\(|Buffer\.)/g;
  return files
    .filter((file) => isProgram(file) && !isTest(file) && roomOf(file.path)?.pure)
    .flatMap((file) =>
      matches(file, file.code, impure, (word) => `${roomOf(file.path)?.path} may not use ${word}`),
    );
}

export function lengthComplaints(files: readonly SourceFile[]): string[] {
  return files
    .filter((file) => isProgram(file) && lineCount(file) > MAX_LINES)
    .map((file) => `${file.path}: has ${lineCount(file)} lines, and ${MAX_LINES} are the limit`);
}

export function lineCount(file: SourceFile): number {
  return file.text.trimEnd().split('\n').length;
}

/** No default exports, no file named after nothing, no test left out or alone. */
export function formComplaints(files: readonly SourceFile[]): string[] {
  return files
    .filter(isProgram)
    .flatMap((file) => [
      ...matches(file, file.code, /^\s*export default\b|\bas default\b/gm, () => 'has a default export'),
      ...(/(^|\/)(utils?|helpers?|common|misc)\.ts$/.test(file.path)
        ? [`${file.path}: a file is named after what is in it`]
        : []),
      ...(isTest(file)
        ? matches(file, file.code, /\b(?:test|spec|suite)\.(?:only|skip)\(/g, (word) => `says ${word}`)
        : []),
    ]);
}

/** Words that are left behind and belong nowhere. Written in halves, so that this file does not say them. */
export function wordComplaints(files: readonly SourceFile[]): string[] {
  const leftBehind = [
    `\\b(?:TO${''}DO|FIX${''}ME|X${''}XX)\\b`,
    `(?<![\\w.])/(?:wo${''}rk|ro${''}ot|ho${''}me)/[a-z.]`,
    `registry\\.np${''}mjs|proxy\\.gol${''}ang|pypi\\.o${''}rg|deb\\.deb${''}ian`,
  ];
  const pattern = new RegExp(leftBehind.join('|'), 'g');
  return files.flatMap((file) => matches(file, file.text, pattern, (word) => `says ${word}`));
}

/** What is exported is imported by somebody: another file of ours names it. */
export function unusedExportComplaints(files: readonly SourceFile[]): string[] {
  const programs = files.filter((file) => file.path.endsWith('.ts'));
  const users = new Map<string, number>();
  for (const file of programs) {
    for (const word of new Set(file.code.match(/\w+/g))) users.set(word, (users.get(word) ?? 0) + 1);
  }
  const exported = /^export (?:abstract |async )?(?:const|function\*?|class|type|interface) (?<name>\w+)/gm;
  return programs
    .filter((file) => !isTest(file))
    .flatMap((file) =>
      [...file.code.matchAll(exported)]
        .filter((match) => users.get(match.groups?.name ?? '') === 1)
        .filter((match) => !isNamedInOwnExports(file, match.groups?.name ?? ''))
        .map((match) => `${file.path}:${lineAt(file.code, match.index)}: nobody uses ${match.groups?.name}`),
    );
}

/** A type that is part of another export's shape is used through that one without being named. */
function isNamedInOwnExports(file: SourceFile, name: string): boolean {
  const isType = new RegExp(`^export (?:type|interface) ${name}\\b`, 'm').test(file.code);
  return isType && (file.code.match(new RegExp(`\\b${name}\\b`, 'g'))?.length ?? 0) > 1;
}

function matches(
  file: SourceFile,
  text: string,
  pattern: RegExp,
  complain: (word: string) => string,
): string[] {
  return [...text.matchAll(pattern)].map(
    (match) => `${file.path}:${lineAt(text, match.index)}: ${complain(match[0].trim())}`,
  );
}
