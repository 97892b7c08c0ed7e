/** Help texts: one shape for the program and for every command. */

import { FinwaitError } from '#base/errors.ts';
import type { SettingsTable } from '#base/settings.ts';
import { settingsHelp } from '#base/settings.ts';

export interface CommandHelp {
  /** `finwait probe HOST:PORT [HOST:PORT ...] [options]` */
  readonly usage: string;
  /** What the command does, in a sentence or a short paragraph of lines. */
  readonly about: string;
  readonly settings: SettingsTable;
  /** Command line and what it is for. */
  readonly examples: readonly (readonly [command: string, purpose: string])[];
  /** Further paragraphs, such as exit codes and environment variables. */
  readonly notes?: readonly string[];
}

/** Whether `--help` or `-h` stands among the arguments (before a `--`). */
export function asksForHelp(args: readonly string[]): boolean {
  const end = args.indexOf('--');
  return (end < 0 ? args : args.slice(0, end)).some((arg) => arg === '--help' || arg === '-h');
}

/** The text of `finwait COMMAND --help`, with its final newline. */
export function helpText(help: CommandHelp): string {
  const options = settingsHelp(help.settings);
  const width = Math.max(0, ...help.examples.map(([command]) => command.length));
  const paragraphs = [
    `Usage: ${help.usage}`,
    help.about,
    ...(options.length === 0 ? [] : [['Options:', ...options].join('\n')]),
    ...(help.examples.length === 0
      ? []
      : [['Examples:', ...help.examples.map(([c, why]) => `  ${c.padEnd(width)}  ${why}`)].join('\n')]),
    ...(help.notes ?? []),
  ];
  return `${paragraphs.join('\n\n')}\n`;
}

/** @throws FinwaitError USAGE when a command that takes options only was given something else */
export function refusePositionals(positionals: readonly string[]): void {
  if (positionals.length === 0) return;
  const words = positionals.map((word) => JSON.stringify(word)).join(', ');
  throw new FinwaitError('USAGE', `unexpected ${words}`, 'run the command with --help to see what it takes');
}
