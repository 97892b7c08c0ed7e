import { readFileSync } from 'node:fs';
import koffi from 'koffi';
import * as assert from 'uvu/assert';
import { mallocTrim } from '../../daemon/kernel/libc.ts';
import { spec } from '../harness.ts';
import { ROOT, runProgram } from '../support/child.ts';

const MIB = 2 ** 20;

function anonymousBytes(): number {
  const status = readFileSync('/proc/self/status', 'utf8');
  return 1024 * Number(/^RssAnon:\s+(\d+) kB$/m.exec(status)?.[1]);
}

spec("the agent's own memory", (test) => {
  test('that has been freed is given back, also below what is still in use', () => {
    // Too small for pages of their own, so that they come from the heap, one after the other.
    const blocks = Array.from({ length: 1_000 }, () => {
      const block = koffi.alloc('uint8_t', 65_536);
      new Uint8Array(koffi.view(block, 65_536)).fill(1);
      return block;
    });
    const inUse = blocks.pop();
    for (const block of blocks) koffi.free(block);
    const beforeBytes = anonymousBytes();
    mallocTrim();
    const givenBack = beforeBytes - anonymousBytes();
    assert.ok(givenBack > 40 * MIB, `${Math.round(givenBack / MIB)} of 62 MiB`);
    koffi.free(inUse);
  });

  test('holds none of fetch and HTTP/2, of which it uses nothing', async () => {
    const script = `
      const { serveAgent } = await import('./daemon/http.ts');
      const server = await serveAgent({ host: '127.0.0.1', port: 0 }, {});
      await server.close();
      console.log(process.moduleLoadList.filter((name) => /undici|http2|http/.test(name)).join());`;
    const { stdout, stderr } = await runProgram(process.execPath, ['--input-type=module', '-e', script], {
      cwd: ROOT,
    });
    assert.match(stdout, /NativeModule http\b/, stderr);
    assert.not.match(stdout, /undici|http2\/core/);
  });
});
