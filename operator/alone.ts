/** The surroundings of an operator on one machine: a token from a file, and targets from the command line. */

import { randomUUID } from 'node:crypto';
import { FinwaitError } from '#base/errors.ts';
import type { ProbeTarget } from '#contract';
import { readTokenFile, staticAuthenticator } from './ingest/authenticator.ts';
import type { OperatorSettings } from './settings.ts';
import type { Surroundings } from './surroundings.ts';
import type { TlsSource } from './tls/renewal.ts';

/** @throws FinwaitError CONFIG_INVALID, TOKEN_UNREADABLE */
export async function alone(
  settings: OperatorSettings,
  tls: TlsSource,
  targets: readonly ProbeTarget[],
): Promise<Surroundings> {
  const token = await readTokenFile(requiredTokenFile(settings));
  const instance = randomUUID();
  return {
    tls,
    authenticate: staticAuthenticator(token, settings.nodeName),
    instance: () => instance,
    assignmentOf: () => targets,
    onReport: () => {},
    conditions: () => [],
    counters: () => ({}),
    sizes: () => ({}),
    start: () => {},
    stop: async () => {},
  };
}

function requiredTokenFile({ agentTokenFile }: OperatorSettings): string {
  if (agentTokenFile !== '') return agentTokenFile;
  throw new FinwaitError(
    'CONFIG_INVALID',
    'no token is given by which an agent would be known',
    'give --agent-token-file a file that holds one secret of at least 16 characters; in a cluster, --kubernetes',
  );
}
