/** The agent's composition root. */

import type { AgentSettings } from './settings.ts';

/** Runs the agent until a signal, or until the parent that started it is gone; answers the exit code. */
export async function runAgent(_settings: AgentSettings): Promise<number> {
  return 0;
}
