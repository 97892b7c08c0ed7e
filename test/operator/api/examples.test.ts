import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { startApiServer } from '../../cluster/api-server.ts';
import { installCrds } from '../../cluster/crds.ts';
import { spec } from '../../harness.ts';
import { ROOT } from '../../support/child.ts';

const EXAMPLES = join(ROOT, 'examples');

spec('examples', (test) => {
  test(
    'all apply to a real API server',
    async () => {
      await using server = await startApiServer();
      await installCrds(server);
      const files = readdirSync(EXAMPLES);
      assert.ok(files.length > 0);
      for (const file of files) {
        assert.match(
          await server.apply(readFileSync(join(EXAMPLES, file), 'utf8')),
          /serverside-applied/,
          file,
        );
      }
    },
    { needs: ['cluster'], timeoutMs: 180_000 },
  );

  test('of HandshakeProbes are all named in docs/handshake-probes.md', () => {
    const docs = readFileSync(join(ROOT, 'docs/handshake-probes.md'), 'utf8');
    for (const file of readdirSync(EXAMPLES)) {
      const isProbe = readFileSync(join(EXAMPLES, file), 'utf8').includes('kind: HandshakeProbe');
      if (isProbe) assert.ok(docs.includes(`examples/${file}`), file);
    }
  });
});
