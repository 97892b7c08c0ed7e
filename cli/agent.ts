/** `finwait agent`: reads this machine's tables, probes from the TUN device, reports to an operator. */

import { readSettings } from '#base/settings.ts';
import { runAgent } from '../daemon/main.ts';
import { AGENT_SETTINGS } from '../daemon/settings.ts';
import type { CommandHelp } from './help.ts';
import { asksForHelp, helpText, refusePositionals } from './help.ts';
import type { CliIo } from './io.ts';
import { EXIT } from './io.ts';

const AGENT_HELP: CommandHelp = {
  usage: 'finwait agent --operator-url URL --token-file FILE [options]',
  about:
    "Reads this machine's socket and conntrack tables, probes what the operator asks for, and reports to it.",
  settings: AGENT_SETTINGS,
  examples: [
    [
      'finwait agent --operator-url https://op:7461 --ca-file ca.crt --token-file token',
      'reports to the operator on host op',
    ],
  ],
};

export async function runAgentCommand(args: readonly string[], io: CliIo): Promise<number> {
  if (asksForHelp(args)) {
    io.stdout.write(helpText(AGENT_HELP));
    return EXIT.ok;
  }
  const { settings, positionals } = readSettings(AGENT_SETTINGS, args, io.env);
  refusePositionals(positionals);
  return runAgent(settings);
}
