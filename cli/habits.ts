/** Options that people bring along from ss and conntrack, read as what they mean here. */

import { isIP } from 'node:net';
import { FinwaitError } from '#base/errors.ts';
import { ssFilter } from './ss-filter.ts';

/** By letter of ss or conntrack: the words to read instead; none where it is what is done anyway. */
type Letters = Readonly<Record<string, readonly string[]>>;

const WIDE = ['--output', 'wide'];
const SS_LETTERS: Letters = {
  t: [],
  n: [],
  p: [],
  e: [],
  O: [],
  a: ['--state', 'all'],
  l: ['--listening'],
  o: WIDE,
  i: WIDE,
  m: WIDE,
  H: ['--no-header'],
  4: ['--ipv4'],
  6: ['--ipv6'],
};
/** These take a value here: `-p nginx`. */
const SS_VALUED = ['-a', '-n', '-p', '-o'];

/**
 * `-tlnp`, `-ant`, `-t`, and `-a`, `-n`, `-p`, `-o` with no value behind them, as ss means them; and its filters:
 * `state close-wait dst 10.0.0.0/8 dport = :443`.
 */
export function fromSs(args: readonly string[]): string[] {
  const words = args.flatMap((word, index): readonly string[] => {
    const next = args[index + 1];
    const hasValue = SS_VALUED.includes(word) && next !== undefined && !isFilterOrOption(next);
    if (word === '-N') return ['--netns'];
    // What `-l` and `-4` mean alone is the same in both.
    const letters = /^-([a-zHO46]+)$/.exec(word)?.[1]?.split('') ?? [];
    if (letters.length === 0 || hasValue || !letters.every((each) => Object.hasOwn(SS_LETTERS, each)))
      return [word];
    const read = new Set(letters.includes('a') ? letters.filter((each) => each !== 'l') : letters);
    return [...new Set([...read].map((each) => SS_LETTERS[each] ?? []))].flat();
  });
  refuse(words, SS_ELSEWHERE);
  if (words.some((word, index) => word === '-s' && (words[index + 1] ?? '-').startsWith('-'))) {
    throw unknown('-s without a state', 'totals: write --by state');
  }
  return ssFilter(words);
}

function isFilterOrOption(word: string): boolean {
  return word.startsWith('-') || ['state', 'exclude', 'src', 'dst', 'sport', 'dport', '('].includes(word);
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
  '--info': 'write -o wide',
  '--memory': 'write -o wide',
  '--extended': 'write -o wide',
  '-K': 'write finwait sockets destroy LOCAL PEER --cookie SK',
  '--kill': 'write finwait sockets destroy LOCAL PEER --cookie SK',
};

/** Words of conntrack and what they are called here; the value behind them stays. */
const CONNTRACK_WORDS: Readonly<Record<string, string>> = {
  '--event': '--events',
  '--src': '--source',
  '--orig-src': '--source',
  '--dst': '--destination',
  '--orig-dst': '--destination',
  '--sport': '--source-port',
  '--orig-port-src': '--source-port',
  '--dport': '--destination-port',
  '--orig-port-dst': '--destination-port',
  '-m': '--mark',
  '--orig-zone': '--zone',
  '-w': '--zone',
};
/** With the one value that is what is done anyway. */
const CONNTRACK_SAME: Readonly<Record<string, string>> = { '-p': 'tcp', '--proto': 'tcp' };
/** With each value that it may have. */
const CONNTRACK_VALUES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  '-f': { ipv4: '--ipv4', ipv6: '--ipv6' },
  '--family': { ipv4: '--ipv4', ipv6: '--ipv6' },
  '-u': { UNREPLIED: '--unreplied', ASSURED: '--assured' },
  '--status': { UNREPLIED: '--unreplied', ASSURED: '--assured' },
};
const EVENT_MASK: Readonly<Record<string, string>> = { NEW: 'begun', UPDATES: 'changed', DESTROY: 'ended' };

/** `-L` and `--dump` list, as this command does anyway; what is called otherwise is read as what it is here. */
export function fromConntrack(args: readonly string[]): string[] {
  const words: string[] = [];
  for (let at = 0; at < args.length; at++) {
    const [word = '', next = ''] = [args[at], args[at + 1]];
    const value = CONNTRACK_VALUES[word]?.[next];
    if (word === '-L' || word === '--dump') continue;
    if (CONNTRACK_SAME[word] === next) at++;
    else if (value !== undefined) {
      words.push(value);
      at++;
    } else if (word === '-s' && isIP(next.split('/')[0] ?? '') > 0) words.push('--source');
    else if (word === '-e' || word === '--event-mask') {
      words.push(
        '--only',
        next
          .split(',')
          .map((each) => EVENT_MASK[each] ?? each)
          .join(','),
      );
      at++;
    } else words.push(CONNTRACK_WORDS[word] ?? word);
  }
  refuse(words, CONNTRACK_ELSEWHERE);
  return words;
}

const CONNTRACK_ELSEWHERE: Readonly<Record<string, string>> = {
  '-C': 'the last line of every table has the count: --limit 1',
  '--count': 'the last line of every table has the count: --limit 1',
  '-D': 'write finwait conntrack delete SOURCE DESTINATION',
  '--delete': 'write finwait conntrack delete SOURCE DESTINATION',
  '-F': 'finwait deletes one flow at a time; conntrack -F empties the table',
  '-p': 'finwait knows TCP only',
  '--proto': 'finwait knows TCP only',
  '--src-nat': 'write --nat',
  '--dst-nat': 'write --nat',
  '-u': 'write --unreplied or --assured',
  '--status': 'write --unreplied or --assured',
  '--reply-src': 'write --destination ADDRESS: it also looks behind NAT',
  '--reply-dst': 'write --source ADDRESS: it also looks behind NAT',
};

/** @throws FinwaitError USAGE with what to do instead */
function refuse(words: readonly string[], elsewhere: Readonly<Record<string, string>>): void {
  const found = words.find((word) => Object.hasOwn(elsewhere, word));
  if (found !== undefined) throw unknown(found, elsewhere[found] ?? '');
}

function unknown(option: string, hint: string): FinwaitError {
  return new FinwaitError('USAGE', `unknown option ${option}`, hint);
}
