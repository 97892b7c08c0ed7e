/** Whatever arrives: no decoder throws, and none reads beyond the packet. */

import { spec, testSeed } from '../harness.ts';
import { fuzz } from './campaign.ts';

const INPUTS = 4_000_000;

spec('fuzz of the decoders', (test) => {
  test(
    `${INPUTS} packets, random and mutated`,
    () => fuzz('wire', testSeed(), ({ inputs }) => inputs >= INPUTS),
    {
      timeoutMs: 900_000,
    },
  );
});
