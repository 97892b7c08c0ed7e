/** The engine against the TCP of this machine's kernel: over a real TUN device, both roles, both families. */

import * as assert from 'uvu/assert';
import { spec } from '../harness.ts';
import type { SceneName, Seen } from './engine-child.ts';
import { openStage, type Stage } from './engine-stage.ts';

const AGREED = { timestamps: true, sack: true, scaled: true };

/** What each scene must show. */
const EXPECTED: Readonly<Record<SceneName, Seen>> = {
  'active open, a megabyte there and back, engine closes first': {
    states: ['SYN-SENT', 'ESTABLISHED', 'FIN-WAIT-1', 'TIME-WAIT'],
    eof: true,
    whole: true,
    ...AGREED,
  },
  'active open, kernel closes first': {
    states: ['SYN-SENT', 'ESTABLISHED', 'CLOSE-WAIT', 'LAST-ACK', 'CLOSED'],
    whole: true,
    ended: 'closed',
  },
  'passive open, a megabyte there and back, kernel closes first': {
    states: ['SYN-RECEIVED', 'ESTABLISHED', 'CLOSE-WAIT', 'LAST-ACK', 'CLOSED'],
    there: true,
    back: true,
    ended: 'closed',
    ...AGREED,
  },
  'passive open, engine closes first': {
    states: ['SYN-RECEIVED', 'ESTABLISHED', 'FIN-WAIT-1', 'TIME-WAIT'],
    whole: true,
  },
  'engine half-closes and goes on receiving': {
    states: ['SYN-SENT', 'ESTABLISHED', 'FIN-WAIT-1', 'FIN-WAIT-2', 'TIME-WAIT'],
    whole: true,
    eof: true,
  },
  'kernel half-closes and goes on receiving': {
    states: ['SYN-SENT', 'ESTABLISHED', 'CLOSE-WAIT', 'LAST-ACK', 'CLOSED'],
    whole: true,
    ended: 'closed',
  },
  'engine aborts': { ended: 'aborted', kernel: 'ECONNRESET' },
  'engine closes with unread data': { ended: 'aborted', kernel: 'ECONNRESET' },
  'kernel aborts': { states: ['SYN-SENT', 'ESTABLISHED', 'CLOSED'], ended: 'reset' },
  'kernel has nobody on the port': { states: ['SYN-SENT', 'CLOSED'], ended: 'refused' },
  'engine has nobody on the port': { kernel: 'ECONNREFUSED' },
  'engine fills the kernel until its window is shut': { whole: true },
  'kernel fills the engine until its window is shut': { whole: true },
  'a hundred connections, one after the other': { opened: 100, retransmitted: 0 },
};

spec('the engine against the kernel', (test) => {
  let stage: Stage | undefined;
  test.after(() => stage?.[Symbol.asyncDispose]());
  for (const family of ['v4', 'v6'] as const) {
    for (const [scene, expected] of Object.entries(EXPECTED)) {
      test(
        `${family}: ${scene}`,
        async () => {
          stage ??= await openStage();
          assert.equal(await stage.play(scene, family), expected);
        },
        { needs: ['root', 'tun', 'netns'] },
      );
    }
  }
});
