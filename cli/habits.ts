/** Options that people bring along from ss and conntrack, read as what they mean here. */

import { FinwaitError } from '#base/errors.ts';

/** By letter of ss or conntrack: the words to read instead; none where it is what is done anyway. */
type Letters = Readonly<Record<string, readonly string[]>>;

const WIDE = ['--output', 'wide'];
const SS_LETTERS: Letters = {
  t: [],
  n: [],
  p: [],
  e: [],
  a: ['--state', 'all'],
  l: ['--listening'],
  o: WIDE,
  i: WIDE,
  m: WIDE,
  4: ['--ipv4'],
  6: ['--ipv6'],
};
/** These take a value here: `-p nginx`. */
const SS_VALUED = ['-a', '-n', '-p', '-o'];

/** `-tlnp`, `-ant`, `-t`, and `-a`, `-n`, `-p`, `-o` with no value behind them, as ss means them. */
export function fromSs(args: readonly string[]): string[] {
  const words = args.flatMap((word, index): readonly string[] => {
    const next = args[index + 1];
    const hasValue = SS_VALUED.includes(word) && next !== undefined && !next.startsWith('-');
    // What `-l` and `-4` mean alone is the same in both.
    const letters = /^-([a-z46]+)$/.exec(word)?.[1]?.split('') ?? [];
    if (letters.length === 0 || hasValue || !letters.every((each) => Object.hasOwn(SS_LETTERS, each)))
      return [word];
    const read = new Set(letters.includes('a') ? letters.filter((each) => each !== 'l') : letters);
    return [...new Set([...read].map((each) => SS_LETTERS[each] ?? []))].flat();
  });
  refuse(words, SS_ELSEWHERE);
  return words;
}

const SS_ELSEWHERE: Readonly<Record<string, string>> = {
  '-u': 'finwait knows TCP only',
  '--udp': 'finwait knows TCP only',
  '-x': 'finwait knows TCP only',
  '--all': 'write --state all',
  '--tcp': 'leave it away: finwait knows TCP only',
  '--numeric': 'leave it away: addresses and ports are numbers always',
  '--processes': 'leave it away: processes are always shown',
  '--summary': 'write --by state',
};

/** `-L` and `--dump` list, as this command does anyway; `--event` is nearly its own word. */
export function fromConntrack(args: readonly string[]): string[] {
  const words = args
    .filter((word) => word !== '-L' && word !== '--dump')
    .map((word) => (word === '--event' ? '--events' : word));
  refuse(words, CONNTRACK_ELSEWHERE);
  return words;
}

const CONNTRACK_ELSEWHERE: Readonly<Record<string, string>> = {
  '-C': 'the last line of every table has the count: --limit 1',
  '--count': 'the last line of every table has the count: --limit 1',
  '-D': 'write finwait conntrack delete SOURCE DESTINATION',
  '--delete': 'write finwait conntrack delete SOURCE DESTINATION',
  '-F': 'finwait deletes one flow at a time; conntrack -F empties the table',
  '-p': 'leave it away: finwait knows TCP only',
  '--proto': 'leave it away: finwait knows TCP only',
  '--src': 'write --address ADDRESS',
  '--dst': 'write --address ADDRESS',
  '--orig-src': 'write --address ADDRESS',
  '--orig-dst': 'write --address ADDRESS',
  '-u': 'write --unreplied',
};

/** @throws FinwaitError USAGE with what to do instead */
function refuse(words: readonly string[], elsewhere: Readonly<Record<string, string>>): void {
  const found = words.find((word) => Object.hasOwn(elsewhere, word));
  if (found !== undefined) throw new FinwaitError('USAGE', `unknown option ${found}`, elsewhere[found] ?? '');
}
