/** `finwait operator`: takes reports, joins them, exports telemetry, serves what it knows as JSON. */

import { readSettings } from '#base/settings.ts';
import { runOperator } from '../operator/main.ts';
import { OPERATOR_SETTINGS } from '../operator/settings.ts';
import type { CommandHelp } from './help.ts';
import { asksForHelp, helpText, refusePositionals } from './help.ts';
import type { CliIo } from './io.ts';
import { EXIT } from './io.ts';

const OPERATOR_HELP: CommandHelp = {
  usage: 'finwait operator --agent-token-file FILE [options]\n       finwait operator --kubernetes [options]',
  about:
    'Takes the reports of agents over TLS, joins them, exports traces and metrics, and serves JSON, health and metrics.',
  settings: OPERATOR_SETTINGS,
  examples: [
    [
      'finwait operator --agent-token-file token --target db:5432',
      'has the agent with that token probe db:5432',
    ],
    [
      'finwait operator --kubernetes --tls-mode secret --advertise-address 10.244.1.7',
      'runs as a replica in a cluster; the chart says the rest',
    ],
  ],
  notes: ['The OTEL_ variables say where traces and metrics go: see docs/configuration.md.'],
};

export async function runOperatorCommand(args: readonly string[], io: CliIo): Promise<number> {
  if (asksForHelp(args)) {
    io.stdout.write(helpText(OPERATOR_HELP));
    return EXIT.ok;
  }
  const { settings, positionals } = readSettings(OPERATOR_SETTINGS, args, io.env);
  refusePositionals(positionals);
  return runOperator(settings);
}
