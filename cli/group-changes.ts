/** By how much groups grow from one reading to the next. */

import type { TableColumn } from './table.ts';
import { count } from './view-text.ts';

/** What a group has when it is watched. */
export interface Changing {
  readonly count: number;
  /** More or less than at the reading before; null in the first. */
  readonly change: number | null;
}

export class GroupChanges<Group extends Changing> {
  readonly #nameOf: (group: Group) => string;
  #before: ReadonlyMap<string, number> | undefined;

  /** @param nameOf tells the groups of one reading apart, and knows them again in the next */
  constructor(nameOf: (group: Group) => string) {
    this.#nameOf = nameOf;
  }

  /** The groups of a reading with their change; a group that was not there before had 0. */
  compared(groups: readonly Group[]): Group[] {
    const before = this.#before;
    const now = new Map<string, number>();
    for (const group of groups) {
      const name = this.#nameOf(group);
      // Of two that cannot be told apart nothing is said.
      now.set(name, now.has(name) ? Number.NaN : group.count);
    }
    this.#before = now;
    if (before === undefined) return [...groups];
    return groups.map((group) => {
      const name = this.#nameOf(group);
      const change = (now.get(name) ?? 0) - (before.get(name) ?? 0);
      return { ...group, change: Number.isNaN(change) ? null : change };
    });
  }
}

/** `+12`, `-3` */
export const CHANGE_COLUMN: TableColumn<Changing> = {
  title: 'CHANGE',
  align: 'right',
  drop: 1,
  cell: ({ change }) => {
    if (change === null || change === 0) return { text: change === null ? '-' : '0', style: 'dim' };
    return {
      text: `${change > 0 ? '+' : '-'}${count(Math.abs(change))}`,
      ...(change > 0 ? { style: 'warn' } : {}),
    };
  },
};
