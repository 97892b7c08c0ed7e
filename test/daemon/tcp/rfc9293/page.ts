/** docs/rfc9293.md, made from the requirements, the titles of tests that name them, and the deviations. */

import { basename } from 'node:path';
import { DEVIATIONS } from './deviations.ts';
import { type Level, REQUIREMENTS } from './requirements.ts';
import { idsOf, type Title } from './titles.ts';

const INTRODUCTION = `# RFC 9293, requirement by requirement

The ids are those of RFC 9293, appendix B; a letter follows where one id stands for several clauses. N1 to N8 are rules of section
3.10.7 that appendix B does not number. What is said here holds for the profile \`finwait\`; \`linux\` and \`freebsd\` do what those
systems do, also where that is something else.

- **tested**: tests whose titles name the id demand it. \`npm test -- daemon/tcp --test-name MUST-13\` runs those of one id.
- **deviates**: it is not done, and the table says why.
- **not used**: a MAY that finwait makes no use of.

This page is made by a test: name the id in the title of a test, or record a deviation in test/daemon/tcp/rfc9293/deviations.ts,
then run \`FINWAIT_UPDATE_DOCS=1 npm test -- rfc9293\`.

`;

/** The whole page. */
export function requirementsPage(titles: readonly Title[]): string {
  const rows = REQUIREMENTS.map(([id, level, section, says]) => {
    const files = filesNaming(id, titles);
    const verdict = verdictOf(id, level, files);
    const where = files.map((file) => `[${basename(file, '.test.ts')}](../${file})`).join(', ');
    return `| ${id} | ${level} | ${section} | ${says} | ${verdict} | ${DEVIATIONS[id] ?? where} |`;
  });
  const count = (verdict: string) => rows.filter((row) => row.includes(`| ${verdict} |`)).length;
  const sum = `${rows.length} requirements: ${count('tested')} tested, ${count('deviates')} deviate, ${count('not used')} not used.\n\n`;
  const head =
    '| id | level | section | what it says | verdict | where it is tested, or why not |\n|---|---|---|---|---|---|\n';
  return `${INTRODUCTION}${sum}${head}${rows.join('\n')}\n`;
}

export function filesNaming(id: string, titles: readonly Title[]): string[] {
  return [...new Set(titles.filter((title) => idsOf(title).includes(id)).map(({ file }) => file))];
}

function verdictOf(id: string, level: Level, files: readonly string[]): string {
  if (id in DEVIATIONS) return level === 'MAY' ? 'not used' : 'deviates';
  return files.length > 0 ? 'tested' : 'missing';
}
