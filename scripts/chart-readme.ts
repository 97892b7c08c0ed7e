/**
 * `node scripts/chart-readme.ts`: writes the tables of values into the chart's README.md, from the comments of its
 * values.yaml. A test holds the two in step, and fails for a value without a comment.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const CHART = join(import.meta.dirname, '../charts/finwait');
const README = join(CHART, 'README.md');
const BEGIN = '<!-- values: made by scripts/chart-readme.ts -->';
const END = '<!-- end of values -->';

interface Value {
  readonly path: string;
  /** In YAML's flow style. */
  readonly default: string;
  readonly doc: string;
}

interface Section {
  readonly title: string;
  /** Where it begins. */
  readonly line: number;
  readonly values: Value[];
}

/** A line of values.yaml that holds something. */
interface Line {
  readonly number: number;
  readonly indent: number;
  readonly text: string;
  /** The comment right above. */
  readonly doc: string;
}

/** The documented values of the chart. @throws Error for a value without a comment */
export function chartValues(): readonly Section[] {
  const sections: Section[] = [];
  const lines = readLines(sections);
  const parents: Line[] = [];
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at] as Line;
    while ((parents.at(-1)?.indent ?? -1) >= line.indent) parents.pop();
    const [, key = '', rest = ''] = /^([^:]+):\s*(.*)$/.exec(line.text) ?? [];
    const below = lines.slice(at + 1, endOfBlock(lines, at));
    if (line.doc === '') {
      if (below.length === 0) throw new Error(`values.yaml:${line.number}: ${key} has no comment`);
      parents.push(line);
      continue;
    }
    const path = [...parents.map(({ text }) => text.replace(/:.*/, '')), key].join('.');
    const section = sections.findLast((candidate) => candidate.line < line.number);
    section?.values.push({ path, default: below.length > 0 ? flow(below) : rest, doc: line.doc });
    at += below.length;
  }
  return sections;
}

function readLines(sections: Section[]): Line[] {
  const lines: Line[] = [];
  let doc: string[] = [];
  for (const [index, raw] of readFileSync(join(CHART, 'values.yaml'), 'utf8').split('\n').entries()) {
    const text = raw.trim();
    if (text === '') doc = [];
    else if (text.startsWith('## ')) sections.push({ title: text.slice(3), line: index, values: [] });
    else if (text.startsWith('# ')) doc.push(text.slice(2));
    else {
      lines.push({
        number: index + 1,
        indent: raw.length - raw.trimStart().length,
        text,
        doc: doc.join(' '),
      });
      doc = [];
    }
  }
  return lines;
}

function endOfBlock(lines: readonly Line[], at: number): number {
  const indent = lines[at]?.indent ?? 0;
  const end = lines.findIndex((line, index) => index > at && line.indent <= indent);
  return end < 0 ? lines.length : end;
}

/** A block of maps, lists and scalars as one line. */
function flow(lines: readonly Line[]): string {
  const isList = lines[0]?.text.startsWith('- ') === true;
  const items: string[] = [];
  for (let at = 0; at < lines.length; ) {
    const end = endOfBlock(lines, at);
    const { text = '', indent = 0 } = lines[at] ?? {};
    const below = lines.slice(at + 1, end);
    if (isList) {
      const first = { number: 0, indent: indent + 2, text: text.slice(2), doc: '' };
      items.push(/^[^"]+: /.test(first.text) ? flow([first, ...below]) : first.text);
    } else items.push(below.length > 0 ? `${text} ${flow(below)}` : text);
    at = end;
  }
  return isList ? `[${items.join(', ')}]` : `{${items.join(', ')}}`;
}

/** The README's part about values. */
function valuesText(): string {
  const cell = (text: string) => text.replaceAll('|', '\\|');
  return chartValues()
    .map(({ title, values }) =>
      [
        `### ${title}`,
        '',
        '| value | default | |',
        '|---|---|---|',
        ...values.map((value) => `| \`${value.path}\` | \`${cell(value.default)}\` | ${cell(value.doc)} |`),
        '',
      ].join('\n'),
    )
    .join('\n');
}

/** The README with its tables as they should be. */
export function withValues(readme: string): string {
  const [before = '', rest = ''] = readme.split(BEGIN);
  const after = rest.split(END)[1];
  if (after === undefined) throw new Error(`README.md lacks the lines ${BEGIN} and ${END}`);
  return `${before}${BEGIN}\n\n${valuesText()}\n${END}${after}`;
}

if (import.meta.main) writeFileSync(README, withValues(readFileSync(README, 'utf8')));
