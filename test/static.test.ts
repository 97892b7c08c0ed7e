import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { spec } from './harness.ts';

const ROOT = join(import.meta.dirname, '..');

/** Runs a checker of node_modules/.bin over the whole tree and fails with what it prints. */
async function passes(program: string, ...args: string[]): Promise<void> {
  const child = spawn(join(ROOT, 'node_modules/.bin', program), args, {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => {
      output += text;
    });
  }
  const [code] = await once(child, 'close');
  assert.is(code, 0, `${program} ${args.join(' ')}\n${output}`);
}

spec('static checks', (test) => {
  test('the compiler finds no type error (tsc)', () => passes('tsc', '--noEmit'), { timeoutMs: 120_000 });
  test('the linter finds nothing to say (biome)', () => passes('biome', 'check', '.'), {
    timeoutMs: 120_000,
  });
});
