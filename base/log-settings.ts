/** How every program that runs on is told what to log. */

import type { LogFormat, LogLevel } from './log.ts';
import { oneOf, setting } from './settings.ts';

export const LOG_LEVEL = setting<LogLevel>({
  name: 'log-level',
  env: 'FINWAIT_LOG_LEVEL',
  placeholder: 'LEVEL',
  doc: 'debug, info, warn or error',
  default: 'info',
  parse: oneOf('debug', 'info', 'warn', 'error'),
});

export const LOG_FORMAT = setting<LogFormat>({
  name: 'log-format',
  env: 'FINWAIT_LOG_FORMAT',
  placeholder: 'FORMAT',
  doc: 'text or json',
  default: 'text',
  parse: oneOf('text', 'json'),
});
