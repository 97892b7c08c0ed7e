import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import type { SettingsTable } from '#base/settings.ts';
import { readSettings } from '#base/settings.ts';
import { COMPARE_SETTINGS } from '../../cli/compare.ts';
import { CONNTRACK_SETTINGS } from '../../cli/conntrack-settings.ts';
import { fromConntrack, fromSs } from '../../cli/habits.ts';
import { PORTS_SETTINGS } from '../../cli/ports-settings.ts';
import { SOCKETS_SETTINGS } from '../../cli/sockets-settings.ts';
import { spec } from '../harness.ts';
import { cliRun } from './cli-run.ts';
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

const TABLES: Readonly<Record<string, SettingsTable>> = {
  sockets: SOCKETS_SETTINGS,
  conntrack: CONNTRACK_SETTINGS,
  ports: PORTS_SETTINGS,
  compare: COMPARE_SETTINGS,
};
const HABITS: Readonly<Record<string, (args: readonly string[]) => string[]>> = {
  sockets: fromSs,
  conntrack: fromConntrack,
};

/** Command lines of the table commands, one of their subcommands left out: each is read as the command reads it. */
function readEach(lines: readonly string[]): number {
  let read = 0;
  for (const line of lines) {
    const [command = '', ...args] = line.split(' ');
    const table = TABLES[command];
    if (table === undefined || args[0] === 'destroy' || args[0] === 'delete') continue;
    const words = HABITS[command]?.(args) ?? args;
    const { positionals } = readSettings(table, words, {});
    assert.equal(positionals, [], line);
    read++;
  }
  return read;
}

spec('examples of the table commands', (test) => {
  test('of docs/cli.md are understood, and every option that their sections name is one', () => {
    const page = readFileSync(join(import.meta.dirname, '../../docs/cli.md'), 'utf8');
    const lines = Array.from(page.matchAll(/^\$ \.\/cli\/finwait\.mjs (.*)$/gm), ([, line]) => line ?? '');
    assert.ok(readEach(lines) >= 10);
    for (const [command, table] of Object.entries(TABLES)) {
      const section = page.split(/^## /m).find((each) => each.startsWith(`finwait ${command}\n`)) ?? '';
      const own = section.replaceAll(/^```.*?^```/gms, '');
      const named = Array.from(own.matchAll(/`[^`]*`/g), ([code]) => code).join(' ');
      const known = new Set(Object.values(table).map(({ name }) => name));
      for (const [, option = ''] of named.matchAll(/--([a-z][a-z-]*)/g)) {
        const words = HABITS[command]?.([`--${option}`]) ?? [];
        const read = known.has(option) || option === 'yes' || !words.includes(`--${option}`);
        assert.ok(read, `finwait ${command} has no --${option}`);
      }
    }
  });

  test('of their help texts are understood', async () => {
    for (const command of Object.keys(TABLES)) {
      const { stdout } = await cliRun([command, '--help']);
      const lines = Array.from(stdout.matchAll(/^ {2}finwait (.*?) {2,}\S/gm), ([, line]) => line ?? '');
      assert.ok(readEach(lines) >= 2, command);
      for (const line of stdout.split('\n')) assert.ok(line.length <= 132, line);
    }
  });
});

spec('docs/tables.md', (test) => {
  test('lists every field of the JSON of finwait sockets, and no other', () => {
    assert.equal(documented('Fields of `finwait sockets').sort(), Object.keys(socket()).sort());
  });

  test('lists every field of the JSON of finwait conntrack, and no other', () => {
    assert.equal(documented('Fields of `finwait conntrack').sort(), Object.keys(flow()).sort());
  });
});
