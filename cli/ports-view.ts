/** The columns of `finwait ports`. */

import { hostPortText } from '#base/host-port.ts';
import type { PortUse } from '../daemon/track/port-pressure.ts';
import type { SourceNatUses } from '../daemon/track/source-nat.ts';
import type { TableColumn } from './table.ts';
import { count, percent } from './view-text.ts';

/** The names of these fields are stable. */
export interface PortRow extends PortUse {
  /** Inode of its network namespace. */
  readonly netns: number;
  /** UID of the pod whose namespace it is. */
  readonly pod: string | null;
  readonly podName: string | null;
}

type NatUse = SourceNatUses['uses'][number];
export type NatRow = NatUse & { readonly netns: number };

/** What both kinds have. */
export type Use = Pick<PortUse, 'destination' | 'used' | 'usable'>;

/** From 0 to 1. */
export function part({ used, usable }: Use): number {
  return usable === 0 ? 0 : used / usable;
}

function text<U>(title: string, cell: (use: U) => string): TableColumn<U> {
  return { title, drop: 0, min: 12, cell: (use) => ({ text: cell(use) }) };
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

const DESTINATION = text<Use>('DESTINATION', ({ destination: { address, port } }) =>
  hostPortText(address, port),
);

const NETNS: TableColumn<{ readonly netns: number }> = {
  title: 'NETNS',
  drop: 4,
  align: 'right',
  cell: ({ netns }) => ({ text: String(netns) }),
};

export function portColumns(severalPlaces: boolean): readonly TableColumn<PortRow>[] {
  return [
    ...COMMON,
    text('SOURCE', ({ source }) => source),
    DESTINATION,
    ...(severalPlaces
      ? [{ ...text<PortRow>('POD', ({ pod, podName }) => podName ?? pod ?? '-'), drop: 1 }, NETNS]
      : []),
    number('TIME-WAIT', 1, ({ timeWait }) => timeWait),
    number('REUSABLE', 3, ({ reusable }) => reusable),
    number('BOUND', 2, ({ bound }) => bound),
  ];
}

export function natColumns(severalPlaces: boolean): readonly TableColumn<NatRow>[] {
  return [
    ...COMMON,
    text('AS', ({ address }) => address),
    DESTINATION,
    ...(severalPlaces ? [NETNS] : []),
    number('OVER', 2, ({ waiting }) => waiting),
    text('USED BY', ({ consumers }) =>
      consumers.map(({ source, count: ports }) => `${source} ${count(ports)}`).join(', '),
    ),
  ];
}
