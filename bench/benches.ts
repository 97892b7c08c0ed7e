/** All benchmarks, by name. */

import { agent } from './agent.ts';
import { bulk } from './bulk.ts';
import { conntrack } from './conntrack.ts';
import type { Bench } from './figures.ts';
import { flood } from './flood.ts';
import { halfOpen } from './half-open.ts';
import { handshakes } from './handshakes.ts';
import { idle } from './idle.ts';
import { sockets } from './sockets.ts';
import { sweep } from './sweep.ts';

export const BENCHES = {
  handshakes,
  'half-open': halfOpen,
  bulk,
  flood,
  idle,
  conntrack,
  sockets,
  sweep,
  agent,
} as const satisfies Readonly<Record<string, Bench>>;

export type BenchName = keyof typeof BENCHES;
