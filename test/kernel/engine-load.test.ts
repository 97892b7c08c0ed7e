/** The engine against the TCP of this machine's kernel, at length: ten thousand connections, a hundred megabytes. */

import * as assert from 'uvu/assert';
import { spec } from '../harness.ts';
import { LOADS_EXPECTED } from './engine-loads.ts';
import { openStage } from './engine-stage.ts';

spec('the engine against the kernel, at length', (test) => {
  for (const family of ['v4', 'v6'] as const) {
    for (const [load, expected] of Object.entries(LOADS_EXPECTED)) {
      test(
        `${family}: ${load}`,
        async () => {
          await using stage = await openStage();
          assert.equal(await stage.play(load, family), expected);
        },
        { needs: ['root', 'tun', 'netns'], timeoutMs: 300_000 },
      );
    }
  }
});
