/** docs/configuration.md as the settings tables say it. */

import type { Setting, SettingsTable } from '#base/settings.ts';
import { COMPARE_SETTINGS } from '../../cli/compare.ts';
import { CONNTRACK_SETTINGS } from '../../cli/conntrack-settings.ts';
import { PORTS_SETTINGS } from '../../cli/ports-settings.ts';
import { PROBE_SETTINGS } from '../../cli/probe-settings.ts';
import { SOCKETS_SETTINGS } from '../../cli/sockets-settings.ts';
import { UP_SETTINGS } from '../../cli/up-settings.ts';
import { AGENT_SETTINGS } from '../../daemon/settings.ts';
import { OPERATOR_SETTINGS } from '../../operator/settings.ts';

const SECTIONS: readonly (readonly [title: string, about: string, table: SettingsTable])[] = [
  ['finwait up', 'What `npm start` runs. Options after `npm start --`, or after `finwait up`.', UP_SETTINGS],
  ['finwait probe', 'One probe, or a few, from a TUN device of its own.', PROBE_SETTINGS],
  ['finwait sockets', 'The socket table once.', SOCKETS_SETTINGS],
  ['finwait conntrack', 'The conntrack table once.', CONNTRACK_SETTINGS],
  ['finwait ports', 'The local ports of connections once.', PORTS_SETTINGS],
  ['finwait compare', 'Sockets and conntrack, twice.', COMPARE_SETTINGS],
  ['finwait agent', 'One node. In a cluster the environment variables are the usual way.', AGENT_SETTINGS],
  ['finwait operator', 'What the agents report to.', OPERATOR_SETTINGS],
];

const INTRODUCTION = `# Configuration

Each program has one table of settings. A setting is given as an option (\`--web-port 8080\` or \`--web-port=8080\`) or, where
the table names one, as an environment variable; the option wins. Options that are lists may be given several times or with
commas. Durations are written \`500ms\`, \`5s\`, \`1m\` or \`1h\`; a bare number is seconds. An unknown option or a value that
is not allowed ends the program with exit code 2, and all such problems are told at once.

This page is made from the tables in the code: change those, then run \`FINWAIT_UPDATE_DOCS=1 npm test -- cli/configuration\`.
`;

const ENVIRONMENT = `## OpenTelemetry

The operator and \`finwait probe\` send traces and metrics when the standard \`OTEL_\` variables say where to, such as
\`OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318\`; otherwise nothing is sent. [traces.md](traces.md) lists the variables.

## The terminal

| variable | what it does |
|---|---|
| \`NO_COLOR\` | not empty: no colours |
| \`TERM=dumb\` | plain lines instead of the live view |
| \`LC_ALL\`, \`LC_CTYPE\`, \`LANG\` | a UTF-8 locale gets bars and arrows, any other gets ASCII |
| \`XDG_RUNTIME_DIR\` | where \`finwait up\` keeps its private files when it does not run as root |
`;

/** The whole page. */
export function configurationPage(): string {
  return [
    INTRODUCTION,
    ...SECTIONS.map(([title, about, table]) => section(title, about, table)),
    ENVIRONMENT,
  ].join('\n');
}

function section(title: string, about: string, table: SettingsTable): string {
  const rows = Object.values(table).map(row);
  return [
    `## ${title}`,
    '',
    about,
    '',
    '| option | environment | default | what it does |',
    '|---|---|---|---|',
    ...rows,
    '',
  ].join('\n');
}

function row(setting: Setting<unknown>): string {
  const value = setting.kind === 'flag' ? '' : ` ${setting.placeholder ?? 'VALUE'}`;
  const option = `${setting.short === undefined ? '' : `-${setting.short}, `}--${setting.name}${value}`;
  const plain = setting.kind === 'flag' ? '' : (setting.defaultText ?? String(setting.default ?? ''));
  const cells = [
    code(option).replaceAll('|', '\\|'),
    setting.env === undefined ? '' : code(setting.env),
    plain === '' ? '' : /\s/.test(plain) ? plain : code(plain),
    setting.doc.replaceAll('|', '\\|'),
  ];
  return `| ${cells.join(' | ')} |`;
}

function code(text: string): string {
  return `\`${text}\``;
}
