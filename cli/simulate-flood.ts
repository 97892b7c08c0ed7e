/** The scenario syn-flood: what share of decent clients gets through, in one run or in many. Pure. */

import type { FloodOptions } from '../daemon/netsim/syn-flood.ts';
import { BACKLOG, playSynFlood } from '../daemon/netsim/syn-flood.ts';
import type { Percentiles } from './simulate-runs.ts';
import { percentileLines, percentilesOf } from './simulate-runs.ts';
import type { Line } from './view-text.ts';
import { count } from './view-text.ts';

export const FLOOD = {
  name: 'syn-flood',
  /** Spoofed SYNs in a second, if no other rate is asked for. */
  rate: 1000,
  about: `spoofed SYNs (--flood a second) fill a backlog of ${BACKLOG}: who still gets through? --no-cookies to compare`,
} as const;

/** Of all runs together. */
export interface Floods {
  readonly runs: number;
  readonly clients: number;
  /** Clients whose connection was open within five seconds. */
  readonly opened: number;
  readonly handshake: Percentiles | undefined;
  readonly spoofedSyns: number;
  readonly cookiesSent: number;
  readonly cookiesAccepted: number;
  readonly synsDropped: number;
}

/** @param optionsOf of a seed: what is lost is remembered by the link, so each run needs its own */
export function playFloods(runs: number, seed: number, optionsOf: (seed: number) => FloodOptions): Floods {
  const played = Array.from({ length: runs }, (_, run) => playSynFlood(optionsOf(seed + run)));
  const handshakes = played.flatMap(({ handshakesUs }) => handshakesUs);
  const sum = (of: (one: (typeof played)[number]) => number) =>
    played.reduce((total, one) => total + of(one), 0);
  return {
    runs,
    clients: sum(({ clients }) => clients),
    opened: handshakes.length,
    handshake: percentilesOf(handshakes),
    spoofedSyns: sum(({ spoofedSyns }) => spoofedSyns),
    cookiesSent: sum(({ cookiesSent }) => cookiesSent),
    cookiesAccepted: sum(({ cookiesAccepted }) => cookiesAccepted),
    synsDropped: sum(({ synsDropped }) => synsDropped),
  };
}

export function floodLines(floods: Floods, seed: number): Line[] {
  const { runs, clients, opened, spoofedSyns, cookiesSent, cookiesAccepted, synsDropped } = floods;
  const share = ((100 * opened) / clients).toFixed(1);
  const through = opened === clients ? ('good' as const) : ('bad' as const);
  return [
    [
      { text: `${FLOOD.name}, ${runs === 1 ? `seed ${seed}` : `${count(runs)} runs`}: `, style: 'bold' },
      { text: `${count(spoofedSyns)} spoofed SYNs` },
    ],
    [
      { text: `${count(opened)} of ${count(clients)} clients got through in five seconds: ` },
      { text: `${share} %`, style: through },
    ],
    ...percentileLines([['client open', floods.handshake]]),
    [
      {
        text: `the server sent ${count(cookiesSent)} SYN cookies, ${count(cookiesAccepted)} came back; it dropped ${count(synsDropped)} SYNs`,
      },
    ],
  ];
}
