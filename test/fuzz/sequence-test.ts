/** The test of segment sequences for one role; each role has a file, so that they run side by side. */

import * as assert from 'uvu/assert';
import { spec, testSeed } from '../harness.ts';
import { fuzz, type Kind } from './campaign.ts';

const INPUTS = 3_000_000;

/** @param transitions changes of state that a run of that size must have seen, `FROM>TO` */
export function sequenceSpec(
  kind: Extract<Kind, 'active' | 'passive'>,
  transitions: readonly string[],
): void {
  spec(`fuzz of segment sequences, ${kind} open`, (test) => {
    test(
      `${INPUTS} packets between calls and leaps of time: no promise is broken, and every state is reached`,
      async () => {
        const seen = await fuzz(kind, testSeed(), ({ inputs }) => inputs >= INPUTS);
        const missing = transitions.filter((transition) => !seen.transitions.has(transition));
        assert.equal(missing, [], `of ${seen.seeds} seeds none went there`);
      },
      { timeoutMs: 1_500_000 },
    );
  });
}

/** What both roles see after the handshake: RFC 9293 figure 5, and how each state ends in an abort. */
export const AFTER_OPEN = [
  'SYN-RECEIVED>ESTABLISHED',
  'ESTABLISHED>FIN-WAIT-1',
  'ESTABLISHED>CLOSE-WAIT',
  'FIN-WAIT-1>FIN-WAIT-2',
  'FIN-WAIT-1>CLOSING',
  'FIN-WAIT-1>TIME-WAIT',
  'FIN-WAIT-2>TIME-WAIT',
  'CLOSING>TIME-WAIT',
  'CLOSE-WAIT>LAST-ACK',
  'LAST-ACK>CLOSED',
  'TIME-WAIT>CLOSED',
  'SYN-RECEIVED>CLOSED',
  'ESTABLISHED>CLOSED',
  'FIN-WAIT-1>CLOSED',
  'FIN-WAIT-2>CLOSED',
  'CLOSE-WAIT>CLOSED',
  'CLOSING>CLOSED',
];
