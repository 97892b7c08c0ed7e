import fc from 'fast-check';
import * as assert from 'uvu/assert';
import { readLines } from '../../../operator/kube/answer.ts';
import { KubeError } from '../../../operator/kube/kube-error.ts';
import { spec } from '../../harness.ts';

async function* arriving(chunks: readonly Buffer[], error?: Error) {
  yield* chunks;
  if (error !== undefined) throw error;
}

async function linesOf(answer: AsyncIterable<Buffer>, maxBytes?: number) {
  const lines: string[] = [];
  try {
    for await (const line of readLines('watch pods', answer, maxBytes)) lines.push(line);
  } catch (error) {
    return { lines, error };
  }
  return { lines };
}

spec('lines of a watch', (test) => {
  test('are the same wherever the stream is cut into chunks', async () => {
    const line = fc.string({ unit: 'grapheme', minLength: 1 }).filter((text) => !text.includes('\n'));
    const property = fc.asyncProperty(
      fc.array(line, { maxLength: 8 }),
      fc.array(fc.nat(200), { maxLength: 12 }),
      async (lines, cuts) => {
        const bytes = Buffer.from(lines.map((text) => `${text}\n`).join('\n'));
        const at = [0, ...cuts.toSorted((a, b) => a - b), bytes.length];
        const chunks = at.slice(1).map((end, i) => bytes.subarray(at[i], end));
        assert.equal(await linesOf(arriving(chunks)), { lines });
      },
    );
    await fc.assert(property, { numRuns: 300 });
  });

  test('may be broken inside a character and end without a line break', async () => {
    const bytes = Buffer.from('€\n{}');
    const chunks = [bytes.subarray(0, 1), bytes.subarray(1, 3), bytes.subarray(3)];
    assert.equal(await linesOf(arriving(chunks)), { lines: ['€', '{}'] });
  });

  test('have a bound, however they arrive', async () => {
    for (const text of ['ok\n12345678901\n', '12345678901']) {
      const chunks = [...text].map((character) => Buffer.from(character));
      for (const way of [chunks, [Buffer.from(text)]]) {
        const { error } = await linesOf(arriving(way), 10);
        assert.ok(error instanceof KubeError && error.reason === 'Undecodable');
      }
    }
    assert.equal(await linesOf(arriving([Buffer.from('1234567890\n1234567890')]), 10), {
      lines: ['1234567890', '1234567890'],
    });
  });

  test('that stop with the connection are a typed failure', async () => {
    const { lines, error } = await linesOf(arriving([Buffer.from('{}\n{')], new Error('reset')));
    assert.equal(lines, ['{}']);
    assert.ok(error instanceof KubeError && error.reason === 'Unreachable');
    assert.match(error.message, /watch pods: reset/);
  });
});
