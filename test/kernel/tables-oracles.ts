/** What `ss` and `conntrack` say of a namespace's tables, in the shape finwait says it. */

import type { Netns } from '../support/netns.ts';

/** `STATE LOCAL PEER INODE PID`, one a line of ss. */
export async function socketsBySs(ns: Netns): Promise<string[]> {
  const text = await ns.run('ss', '-tanepOH');
  return text
    .trim()
    .split('\n')
    .map((line) => {
      const [state = '', , , local = '', peer = ''] = line.trim().split(/\s+/);
      const inode = /\bino:(\d+)/.exec(line)?.[1] ?? '0';
      const pid = /pid=(\d+)/.exec(line)?.[1] ?? '-';
      return `${RFC_STATES[state] ?? state} ${endpoint(local)} ${endpoint(peer)} ${inode} ${pid}`;
    });
}

const RFC_STATES: Readonly<Record<string, string>> = {
  ESTAB: 'ESTABLISHED',
  'SYN-RECV': 'SYN-RECEIVED',
  UNCONN: 'CLOSED',
};

/** v4-mapped addresses as IPv4, `*` as the unspecified address of both families. */
function endpoint(text: string): string {
  const mapped = /^\[::ffff:([\d.]+)\](:.*)$/.exec(text);
  return (mapped === null ? text : `${mapped[1]}${mapped[2]}`).replace(/^\*:/, '[::]:').replace(/:\*$/, ':0');
}

export interface OracleFlow {
  readonly state: string;
  /** `SRC>DST SRC>DST` of the original and of the reply. */
  readonly tuples: string;
  readonly timeoutS: number;
  readonly counters: string;
  readonly unreplied: boolean;
  readonly assured: boolean;
  readonly mark: number;
  /** Of the original direction. */
  readonly zone: number;
}

/** Flows as text, one a line, in order: `STATE SRC>DST SRC>DST zone ZONE mark MARK`. */
export function flowTexts(flows: readonly OracleFlow[]): string[] {
  return flows.map(({ state, tuples, zone, mark }) => `${state} ${tuples} zone ${zone} mark ${mark}`).sort();
}

/** The TCP flows as `conntrack -L` prints them. */
export async function flowsByConntrack(ns: Netns): Promise<OracleFlow[]> {
  const texts = await Promise.all(
    ['ipv4', 'ipv6'].map((family) => ns.run('conntrack', '-L', '-p', 'tcp', '-f', family)),
  );
  return texts
    .join('\n')
    .split('\n')
    .filter((line) => line.startsWith('tcp'))
    .map((line) => {
      const all = (name: string) =>
        Array.from(line.matchAll(new RegExp(`\\b${name}=(\\S+)`, 'g')), ([, v]) => v);
      const [, , timeout, state = ''] = line.split(/\s+/);
      const tuple = (index: number) =>
        `${all('src')[index]} ${all('sport')[index]}>${all('dst')[index]} ${all('dport')[index]}`;
      return {
        state,
        tuples: `${tuple(0)} ${tuple(1)}`,
        timeoutS: Number(timeout),
        counters: `${all('packets')} ${all('bytes')}`,
        unreplied: line.includes('[UNREPLIED]'),
        assured: line.includes('[ASSURED]'),
        mark: Number(all('mark')[0]),
        zone: Number(all('zone')[0] ?? all('zone-orig')[0] ?? 0),
      };
    });
}
