/**
 * Log lines for machines and people: one JSON object a line on standard error, or short text on a terminal.
 * What strangers wrote is made harmless in text, as JSON escapes it. A closed standard error loses lines and nothing else.
 */

import { cleanText } from './clean-text.ts';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
export type LogFormat = 'text' | 'json';

export type LogFields = Readonly<Record<string, unknown>>;

export interface Logger {
  log(level: LogLevel, message: string, fields?: LogFields): void;
}

const ORDER: Readonly<Record<LogLevel, number>> = { debug: 0, info: 1, warn: 2, error: 3 };

/**
 * A logger that writes lines at or above `level`.
 * @param component which program speaks: `agent`, `operator`, `up`
 * @param write takes one line without its end
 */
export function createLogger(
  component: string,
  level: LogLevel,
  format: LogFormat,
  write: (line: string) => void = (line) => void process.stderr.write(`${line}\n`),
): Logger {
  return {
    log(lineLevel, message, fields = {}) {
      if (ORDER[lineLevel] < ORDER[level]) return;
      if (format === 'json') {
        const time = new Date().toISOString();
        write(JSON.stringify({ time, level: lineLevel, component, message, ...fields }));
      } else {
        const tail = Object.entries(fields).map(([name, value]) => ` ${name}=${fieldText(value)}`);
        const text = `${lineLevel === 'info' ? '' : `${lineLevel}: `}${message}${tail.join('')}`;
        // A stack keeps its lines.
        write(`finwait ${component}: ${text.split('\n').map(cleanText).join('\n')}`);
      }
    },
  };
}

function fieldText(value: unknown): string {
  return typeof value === 'string'
    ? /[\s"=]/.test(value)
      ? JSON.stringify(value)
      : value
    : JSON.stringify(value);
}
