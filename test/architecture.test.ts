import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import * as assert from 'uvu/assert';
import { ROOMS } from './architecture/rooms.ts';
import {
  formComplaints,
  importComplaints,
  lengthComplaints,
  lineCount,
  purityComplaints,
  roomOf,
  unusedExportComplaints,
  wordComplaints,
} from './architecture/rules.ts';
import type { SourceFile } from './architecture/source.ts';
import { isProgram, isTest, readTree } from './architecture/source.ts';
import { spec } from './harness.ts';
import { makeTempDir } from './support/temp-dir.ts';

const ROOT = join(import.meta.dirname, '..');
const RULES: Readonly<Record<string, (files: readonly SourceFile[]) => string[]>> = {
  'every import keeps to the table of rooms': importComplaints,
  'rooms without a clock take neither time nor chance from the machine': purityComplaints,
  'no file is longer than the limit': lengthComplaints,
  'no default export, no file named after nothing, no test left out': formComplaints,
  'no unfinished business, no path of a machine, no host of a registry': wordComplaints,
  'what is exported is used': unusedExportComplaints,
};

spec('architecture', (test) => {
  const files = readTree(ROOT);

  for (const [title, rule] of Object.entries(RULES)) {
    test(title, () => {
      const complaints = rule(files);
      assert.is(complaints.length, 0, complaints.join('\n    '));
    });
  }

  test('file lengths stay near the norm: half under 120 lines, nine in ten under 300', () => {
    const lengths = files
      .filter((file) => isProgram(file) && !isTest(file))
      .map(lineCount)
      .toSorted((a, b) => a - b);
    const at = (share: number) => lengths[Math.floor((lengths.length - 1) * share)] ?? 0;
    console.log(
      `${lengths.length} files, median ${at(0.5)}, 90th percentile ${at(0.9)}, longest ${at(1)} lines`,
    );
    assert.ok(at(0.5) <= 120, `the median is ${at(0.5)}`);
    assert.ok(at(0.9) <= 300, `the 90th percentile is ${at(0.9)}`);
  });

  test('each room of the table names rooms of the table', () => {
    const names = new Set(ROOMS.map((room) => room.path));
    for (const room of ROOMS) {
      for (const name of room.imports) assert.ok(names.has(name), `${room.path} names ${name}`);
    }
  });

  test('a file belongs to the innermost room', () => {
    assert.is(roomOf('base/result.ts')?.path, 'base/result.ts');
    assert.is(roomOf('base/errors.ts')?.path, 'base');
    assert.is(roomOf('operator/telemetry/spans.ts')?.path, 'operator/telemetry');
    assert.is(roomOf('daemon/main.ts')?.path, 'daemon');
    assert.is(roomOf('elsewhere/x.ts'), undefined);
  });
});

/** A file that breaks one rule, and what must be said of it. */
const BROKEN: readonly (readonly [path: string, text: string, complaint: RegExp])[] = [
  [
    'daemon/tcp/bad.ts',
    "import { readFileSync } from 'node:fs';",
    /bad\.ts:1: daemon\/tcp may not import node:fs/,
  ],
  [
    'daemon/tcp/bad.ts',
    "\nimport type { Settings } from '#base/settings.ts';",
    /bad\.ts:2: daemon\/tcp may not import base/,
  ],
  ['daemon/tcp/bad.ts', "import {\n  a,\n  b,\n} from '../kernel/libc.ts';", /may not import daemon\/kernel/],
  ['daemon/wire/bad.ts', "export * from '../tcp/types.ts';", /may not import daemon\/tcp/],
  ['daemon/wire/bad.ts', "import koffi from 'koffi';", /may not import the package koffi/],
  ['daemon/wire/bad.ts', "import '#base/errors.ts';", /daemon\/wire may not import base \(/],
  ['daemon/bad.ts', "await import('express');", /may not import the package express/],
  ['daemon/bad.ts', "await import('../operator/main.ts');", /daemon may not import operator/],
  [
    'daemon/report/bad.ts',
    "import { trace } from '@opentelemetry/api';",
    /may not import the package @opentelemetry/,
  ],
  [
    'daemon/threads/bad.ts',
    "new Worker(new URL('../main.ts', import.meta.url));",
    /may not import daemon \(/,
  ],
  [
    'operator/bad.ts',
    "import { x } from '../daemon/kernel/tun.ts';",
    /operator may not import daemon\/kernel/,
  ],
  ['operator/bad.ts', "import { x } from '../cli/io.ts';", /operator may not import cli/],
  ['operator/bad.ts', "import express from 'express';", /operator may not import the package express/],
  ['base/bad.ts', "import type { Report } from '#contract';", /base may not import daemon\/contract/],
  ['cli/bad.ts', 'const x = await import(name);', /imports something that is not written out/],
  ['cli/bad.ts', "const x = require('koffi');", /may not import the package koffi/],
  ['elsewhere/bad.ts', 'export const x = 1;', /lies in no room/],
  ['test/bad.test.ts', "import { x } from 'lodash';", /tests may not import the package lodash/],
  ['daemon/tcp/bad.ts', 'const now = Date.now();', /daemon\/tcp may not use Date\.now/],
  ['daemon/probe/bad.ts', 'setTimeout(() => {}, 1);', /daemon\/probe may not use setTimeout/],
  ['daemon/wire/bad.ts', `${'\n'.repeat(500)}const x = 1;`, /has 501 lines/],
  ['cli/bad.ts', 'export default 1;', /has a default export/],
  ['cli/utils.ts', 'const x = 1;', /named after what is in it/],
  ['test/bad.test.ts', `test.on${''}ly('x', () => {});`, /says test\.on/],
  ['docs/bad.md', `a TO${''}DO`, /docs\/bad\.md:1: says/],
  ['daemon/bad.ts', `const path = '/ro${''}ot/x';`, /says \/ro/],
  ['daemon/bad.ts', 'export const lonely = 1;', /bad\.ts:1: nobody uses lonely/],
];

spec('architecture, when a rule is broken', (test) => {
  for (const [path, text, complaint] of BROKEN) {
    test(`complains of ${JSON.stringify(text.trim().slice(0, 60))} in ${path}`, async () => {
      await using tree = await makeTempDir('tree');
      cpSync(join(ROOT, 'base'), join(tree.path, 'base'), { recursive: true });
      const clean = Object.values(RULES).flatMap((rule) => rule(readTree(tree.path)));
      mkdirSync(dirname(join(tree.path, path)), { recursive: true });
      writeFileSync(join(tree.path, path), `${text}\n`);
      const added = Object.values(RULES)
        .flatMap((rule) => rule(readTree(tree.path)))
        .filter((line) => !clean.includes(line));
      assert.match(added.join('\n'), complaint);
    });
  }

  test('a comment may name what the code may not', async () => {
    await using tree = await makeTempDir('tree');
    mkdirSync(join(tree.path, 'daemon/tcp'), { recursive: true });
    const text =
      "/**\n * import { x } from 'node:fs';\n */\n// Date.now() is handed in\nconst x = 1; // not Math.random\n";
    writeFileSync(join(tree.path, 'daemon/tcp/good.ts'), text);
    assert.equal(
      Object.values(RULES).flatMap((rule) => rule(readTree(tree.path))),
      [],
    );
  });
});
