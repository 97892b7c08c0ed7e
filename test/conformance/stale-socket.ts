/** What a process that was killed leaves behind: a socket in the file system at which nobody listens. */

import { once } from 'node:events';
import { lstatSync, unlinkSync } from 'node:fs';
import { connect } from 'node:net';

/** Removes a socket at which nobody listens; anything else stays where it is. */
export async function removeStaleSocket(path: string): Promise<void> {
  if (lstatSync(path, { throwIfNoEntry: false })?.isSocket() !== true) return;
  const probe = connect(path);
  const listened = await once(probe, 'connect').then(
    () => true,
    () => false,
  );
  probe.destroy();
  if (!listened) unlinkSync(path);
}
