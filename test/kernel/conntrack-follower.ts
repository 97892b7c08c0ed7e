/** A follower of a namespace's conntrack, as tests start it and ask it. */

import type { Child } from '../support/child.ts';
import type { Netns } from '../support/netns.ts';
import type { Followed } from './conntrack-follow.ts';

const FOLLOW = `${import.meta.dirname}/conntrack-follow.ts`;

/** @param how `dumps`: it dumps all the time */
export async function startFollower(
  ns: Netns,
  queueBytes: number,
  ...how: readonly 'dumps'[]
): Promise<Child> {
  const child = ns.start(process.execPath, [FOLLOW, String(queueBytes), ...how]);
  await child.output(/ready/);
  return child;
}

/** What its table holds once it has swept again. */
export async function ask(follower: Child): Promise<Followed> {
  const after = follower.stdout.length;
  follower.kill('SIGUSR2');
  const [line] = await follower.output(/^\{.*\}$/m, { after });
  return JSON.parse(line) as Followed;
}
