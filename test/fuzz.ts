/**
 * `node test/fuzz.ts [active|passive|wire|netlink...] [--seconds N] [--seed S]`: feeds the engine and the decoders what no
 * decent peer and no kernel sends, for as long as one likes. `--replay S` with one kind plays one seed again and prints
 * everything that happens.
 */

import { parseArgs } from 'node:util';
import { fuzz, KINDS, type Kind, playOne } from './fuzz/campaign.ts';

const SECONDS = '60';

const { values, positionals } = parseArgs({
  options: {
    seconds: { type: 'string', default: SECONDS },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 30)) },
    replay: { type: 'string' },
  },
  allowPositionals: true,
});
const kinds = positionals.length > 0 ? positionals.map(kindOf) : [...KINDS];

if (values.replay === undefined) {
  const [seed, seconds] = [numberOf('seed', values.seed), numberOf('seconds', values.seconds)];
  for (const kind of kinds) {
    console.log(`${kind}: from seed ${seed}`);
    const untilMs = performance.now() + (seconds * 1000) / kinds.length;
    const { seeds, inputs } = await fuzz(kind, seed, () => performance.now() > untilMs);
    console.log(`${kind}: ${inputs} inputs of ${seeds} seeds, nothing found`);
  }
} else {
  const [kind = 'active', ...others] = kinds;
  if (positionals.length !== 1 || others.length > 0) throw new Error('--replay takes one kind');
  const told = { inputs: 0, transitions: new Map<string, number>() };
  playOne(kind, numberOf('replay', values.replay), told, (line) => console.log(line));
  console.log(`${told.inputs} inputs, nothing found`);
}

function kindOf(name: string): Kind {
  const kind = KINDS.find((each) => each === name);
  if (kind === undefined) throw new Error(`${name} is not one of ${KINDS.join(', ')}`);
  return kind;
}

function numberOf(option: string, text: string): number {
  const number = Number(text);
  if (!(number >= 0)) throw new Error(`--${option}: ${text} is no number`);
  return number;
}
