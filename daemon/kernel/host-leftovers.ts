/** Taking back what a run changed: its own at the end, that of a killed run at the next start. */

import type { Condition } from '#base/errors.ts';
import { conditionOf, FinwaitError } from '#base/errors.ts';
import { NFPROTO } from '../netlink/nftables.ts';
import type { Change, HostState, RunState } from './host-state.ts';
import { withRuns } from './host-state.ts';
import { Nftables, removeTable } from './nftables-table.ts';
import type { Routing } from './routing.ts';
import { applySetting, readSetting } from './sysctl.ts';

/**
 * Takes back what killed runs of this network namespace left. Never touches what a living run uses.
 * @param stateDir the directory they were started with
 * @returns why something could not be taken back; then it is tried again at the next start
 */
export function cleanLeftovers(stateDir: string, routing: Routing): Condition[] {
  const conditions: Condition[] = [];
  try {
    withRuns(stateDir, (runs, forget) => {
      const living = runs.filter((run) => run.alive).flatMap((run) => run.changes);
      for (const run of runs.filter((candidate) => !candidate.alive)) {
        const left = run.changes.filter((change) => !takeBack(change, living, routing));
        if (left.length === 0) forget(run);
        else conditions.push(notTakenBack(run, left));
      }
    });
  } catch (error) {
    conditions.push(conditionOf(error));
  }
  return conditions;
}

/**
 * Takes back what a run changed, but for the settings that another living run has come to rely on. What cannot be
 * taken back now is left to the next start.
 */
export function takeBackAll(state: HostState, routing: Routing): void {
  const done = state.withOthers((others) => {
    const living = others.filter((run) => run.alive).flatMap((run) => run.changes);
    return state.changes.filter((change) => !takeBack(change, living, routing)).length === 0;
  });
  if (done) state[Symbol.dispose]();
  else state.leave();
}

/** @returns whether there is nothing left to do about the change, now or later */
function takeBack(change: Change, living: readonly Change[], routing: Routing): boolean {
  if (change.kind === 'table') {
    if (living.some((other) => other.kind === 'table' && other.name === change.name)) return true;
    using nftables = new Nftables();
    // A table with an owner is a living run's, made since under the same name.
    const table = nftables
      .tables()
      .find(({ name, family }) => name === change.name && family === NFPROTO.inet);
    if (table !== undefined && table.owner === undefined) removeTable(nftables, change.name);
    return true;
  }
  if (living.some((other) => other.kind === 'setting' && other.path === change.path)) return true;
  // Whoever gave it another value since meant that.
  if (readSetting(change.path) !== change.set) return true;
  return applySetting(change.path, change.was, routing);
}

function notTakenBack(run: RunState, left: readonly Change[]): Condition {
  const what = left.map((change) =>
    change.kind === 'setting' ? `${change.path}=${change.was}` : change.name,
  );
  const message = `what a killed run left (${run.file}) could not be taken back: ${what.join(', ')}`;
  const hint = 'set it by hand, or start finwait once with the rights it had then';
  return conditionOf(new FinwaitError('LINK_SETUP_FAILED', message, hint));
}
