/** Filters of ss, as words behind its options, read as the options that they are here. ss(8) */

import { FinwaitError } from '#base/errors.ts';
import type { Setting } from '#base/settings.ts';
import { SOCKETS_SETTINGS } from './sockets-settings.ts';

const EQUALS: ReadonlySet<string> = new Set(['=', '==', 'eq']);
const ADDRESSES: Readonly<Record<string, readonly [address: string, port: string]>> = {
  src: ['--local', '--local-port'],
  dst: ['--peer', '--peer-port'],
};
const PORTS: Readonly<Record<string, string>> = { sport: '--local-port', dport: '--peer-port' };
const FLAGS: ReadonlySet<string> = new Set(
  Object.values<Setting<unknown>>(SOCKETS_SETTINGS).flatMap(({ kind, name, short }) =>
    kind === 'flag' ? [`--${name}`, ...(short === undefined ? [] : [`-${short}`])] : [],
  ),
);
/** What may stand there and changes nothing. */
const JOINED: ReadonlySet<string> = new Set(['(', ')', 'and', '&&', '&']);

/**
 * `state time-wait`, `exclude listen`, `dst 10.0.0.0/8`, `src [::1]:80`, `dport = :443`; also in one word with blanks,
 * as a shell hands over what was quoted.
 * @throws FinwaitError USAGE for what ss can and this cannot
 */
export function ssFilter(args: readonly string[]): string[] {
  const start = args.findIndex((word, index) => isFilter(word, args[index - 1]));
  if (start < 0) return [...args];
  const words = args.slice(start).flatMap((word) => word.replaceAll(/[()]/g, ' $& ').trim().split(/\s+/));
  const read = args.slice(0, start);
  for (let at = 0; at < words.length; at++) {
    const word = words[at] ?? '';
    const [first = '', second = ''] = [words[at + 1], words[at + 2]];
    if (JOINED.has(word)) continue;
    if (word === 'state' || word === 'exclude') {
      // Of `-a state time-wait` only the states named count.
      const all = read.findIndex((each, index) => each === '--state' && read[index + 1] === 'all');
      if (word === 'state' && all >= 0) read.splice(all, 2);
      read.push(`--${word}`, first);
      at++;
    } else if (Object.hasOwn(ADDRESSES, word)) {
      const given = EQUALS.has(first);
      read.push(...endFilter(ADDRESSES[word], given ? second : first));
      at += given ? 2 : 1;
    } else if (Object.hasOwn(PORTS, word)) {
      const given = EQUALS.has(first);
      const port = /^:?(\d+)$/.exec(given ? second : first)?.[1];
      if (port === undefined) throw notRead(`${word} ${first}${given ? ` ${second}` : ''}`);
      read.push(PORTS[word] ?? '', port);
      at += given ? 2 : 1;
    } else if (word.startsWith('-')) {
      read.push(...words.slice(at));
      break;
    } else throw notRead(word);
  }
  return read;
}

function isFilter(word: string, before = ''): boolean {
  const [first = ''] = word.replaceAll('(', ' ').trim().split(/\s+/);
  const begins = ['state', 'exclude', ...Object.keys(ADDRESSES), ...Object.keys(PORTS)].includes(first);
  // Behind an option it may be its value: `--process state`.
  return (begins || word === '(') && (!before.startsWith('-') || FLAGS.has(before));
}

/** `10.0.0.1`, `10.0.0.0/8`, `10.0.0.1:443`, `:443`, `[::1]:443` */
function endFilter([address, port] = ['', ''] as readonly [string, string], end: string): string[] {
  const [, host = '', digits] = /^(\[[^\]]*\]|[^:]*|[0-9a-f:./]*?)(?::(\d+|\*))?$/i.exec(end) ?? [];
  const isV6 = !end.startsWith('[') && end.split(':').length > 2;
  const [shown, number] = isV6 ? [end, undefined] : [host, digits];
  if (shown === '' && number === undefined) throw notRead(end);
  return [
    ...(shown === '' || shown === '*' ? [] : [address, shown]),
    ...(number === undefined || number === '*' ? [] : [port, number]),
  ];
}

function notRead(word: string): FinwaitError {
  return new FinwaitError(
    'USAGE',
    `unexpected ${JSON.stringify(word)}`,
    'of the filters of ss those for states, addresses and equal ports are read, all of which must be met; see --help for more',
  );
}
