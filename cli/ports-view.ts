/** The columns of `finwait ports`. */

import { hostPortText } from '#base/host-port.ts';
import type { PortUse } from '../daemon/track/port-pressure.ts';
import type { SourceNatUses } from '../daemon/track/source-nat.ts';
import type { TableColumn } from './table.ts';
import { age, count, percent } from './view-text.ts';

/** As the last minute of `--watch` tells it; null before it tells anything. */
export interface Trend {
  /** More (or fewer) in use each minute. */
  readonly perMinute: number | null;
  /** When none is left at this rate; null where it does not rise. */
  readonly exhaustedInMs: number | null;
}

/** The names of these fields are stable. */
export interface PortRow extends PortUse, Trend {
  /** Inode of its network namespace. */
  readonly netns: number;
  /** UID of the pod whose namespace it is. */
  readonly pod: string | null;
  readonly podName: string | null;
}

const SOON_MS = 10 * 60_000;

type NatUse = SourceNatUses['uses'][number];
export type NatRow = NatUse & Trend & { readonly netns: number };

/** What both kinds have. */
export type Use = Pick<PortUse, 'destination' | 'used' | 'usable'>;

/** From 0 to 1. */
export function part({ used, usable }: Use): number {
  return usable === 0 ? 1 : used / usable;
}

function text<U>(title: string, cell: (use: U) => string): TableColumn<U> {
  return { title, drop: 0, min: 12, cell: (use) => ({ text: cell(use) }) };
}

function address<U>(title: string, cell: (use: U) => string): TableColumn<U> {
  return { title, drop: 0, whole: true, cell: (use) => ({ text: cell(use) }) };
}

function number<U>(title: string, drop: number, cell: (use: U) => number): TableColumn<U> {
  return { title, drop, align: 'right', cell: (use) => ({ text: count(cell(use)) }) };
}

const USED: TableColumn<Use> = {
  title: 'USED',
  drop: 0,
  align: 'right',
  cell: (use) => ({
    text: percent(use.used, use.usable),
    ...(part(use) >= 0.85 ? { style: 'bad' as const } : part(use) >= 0.6 ? { style: 'warn' as const } : {}),
  }),
};

const COMMON: readonly TableColumn<Use>[] = [
  USED,
  number('PORTS', 0, ({ used }) => used),
  number('USABLE', 0, ({ usable }) => usable),
];

const DESTINATION = address<Use>('DESTINATION', ({ destination: { address, port } }) =>
  hostPortText(address, port),
);

const NETNS: TableColumn<{ readonly netns: number }> = {
  title: 'NETNS',
  drop: 4,
  align: 'right',
  cell: ({ netns }) => ({ text: String(netns) }),
};

const TRENDS: readonly TableColumn<Trend>[] = [
  {
    title: 'PER-MIN',
    drop: 1,
    align: 'right',
    cell: ({ perMinute }) => ({
      text:
        perMinute === null
          ? '-'
          : `${perMinute > 0 ? '+' : perMinute < 0 ? '-' : ''}${count(Math.abs(perMinute))}`,
    }),
  },
  {
    title: 'FULL-IN',
    drop: 0,
    align: 'right',
    cell: ({ exhaustedInMs }) => ({
      text: exhaustedInMs === null ? '-' : exhaustedInMs === 0 ? 'now' : age(exhaustedInMs),
      ...(exhaustedInMs !== null && exhaustedInMs < SOON_MS ? { style: 'bad' as const } : {}),
    }),
  },
];

/** @param watch with the trends */
export function portColumns(severalPlaces: boolean, watch = false): readonly TableColumn<PortRow>[] {
  return [
    ...COMMON,
    ...(watch ? TRENDS : []),
    address('SOURCE', ({ source }) => source),
    DESTINATION,
    ...(severalPlaces
      ? [{ ...text<PortRow>('POD', ({ pod, podName }) => podName ?? pod ?? '-'), drop: 1 }, NETNS]
      : []),
    number('TIME-WAIT', 1, ({ timeWait }) => timeWait),
    number('REUSABLE', 3, ({ reusable }) => reusable),
    number('BOUND', 2, ({ bound }) => bound),
  ];
}

/** @param watch with the trends */
export function natColumns(severalPlaces: boolean, watch = false): readonly TableColumn<NatRow>[] {
  return [
    ...COMMON,
    ...(watch ? TRENDS : []),
    address('AS', ({ address }) => address),
    DESTINATION,
    ...(severalPlaces ? [NETNS] : []),
    number('OVER', 2, ({ waiting }) => waiting),
    text('USED BY', ({ consumers }) =>
      consumers.map(({ source, count: ports }) => `${source} ${count(ports)}`).join(', '),
    ),
  ];
}
