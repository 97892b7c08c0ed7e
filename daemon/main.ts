/** The agent as a process: started from settings, ended by signals, by its parent, by a dead worker or a bug. */

import { conditionOf, FinwaitError } from '#base/errors.ts';
import { hostPortText } from '#base/host-port.ts';
import { createLogger } from '#base/log.ts';
import type { AgentDeps } from './agent.ts';
import { Agent } from './agent.ts';
import { EXIT_WORKER_DIED, tellParent, watchProcess } from './lifecycle.ts';
import type { AgentSettings } from './settings.ts';
import { startEngine } from './threads/engine-client.ts';
import { startTables } from './threads/tables-client.ts';

/**
 * Runs the agent until a signal, or until the parent that started it is gone.
 * @param deps parts to use in place of the real ones, for tests
 * @returns the exit code: 0, or EXIT_WORKER_DIED, whose reason is the last line
 * @throws FinwaitError USAGE without a token file, PORT_IN_USE, LISTEN_FAILED; with `requireTun` also why there is no engine
 */
export async function runAgent(settings: AgentSettings, deps: Partial<AgentDeps> = {}): Promise<number> {
  const log = deps.log ?? createLogger('agent', settings.logLevel, settings.logFormat);
  using watch = watchProcess(log);
  try {
    if (settings.tokenFile === '') throw noToken();
    const agent = await Agent.start(settings, { startTables, startEngine, ...deps, log });
    const { address, port } = agent.http;
    log.log('info', `health and metrics are served on http://${hostPortText(address, port)}`);
    tellParent({ type: 'ready', http: { address, port } });
    const end = await Promise.race([watch.toldToStop, agent.died]);
    log.log('info', `stopping: ${end instanceof FinwaitError ? end.message : end}`);
    await agent.stop();
    if (!(end instanceof FinwaitError)) return 0;
    const cause = end.cause instanceof Error ? { cause: end.cause.message } : {};
    log.log('error', end.message, { code: end.code, ...cause, hint: end.hint });
    return EXIT_WORKER_DIED;
  } catch (error) {
    if (error instanceof FinwaitError) tellParent({ type: 'failed', ...conditionOf(error) });
    throw error;
  }
}

function noToken(): FinwaitError {
  return new FinwaitError(
    'USAGE',
    'no --token-file is given, so no operator would know this agent',
    "let --token-file name a file with the same token as the operator's --agent-token-file",
  );
}
