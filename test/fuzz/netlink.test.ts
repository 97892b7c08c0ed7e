/** Whatever a netlink message holds: no decoder throws, none loops, and none makes more of it than it holds. */

import { spec, testSeed } from '../harness.ts';
import { fuzz } from './campaign.ts';

const INPUTS = 10_000_000;

spec('fuzz of the netlink decoders', (test) => {
  test(
    `${INPUTS} messages, mutated from those of a real kernel`,
    () => fuzz('netlink', testSeed(), ({ inputs }) => inputs >= INPUTS),
    { timeoutMs: 600_000 },
  );
});
