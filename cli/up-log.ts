/** The file that `finwait up` appends to what agent and operator log. */

import { appendFileSync } from 'node:fs';
import type { Condition } from '#base/errors.ts';
import { conditionOf, FinwaitError } from '#base/errors.ts';

export interface LogFile {
  /** Appends a line that a child logged; one that cannot be written is lost. */
  write(child: string, line: string): void;
  /** FILE_UNWRITABLE while lines are lost. */
  condition(): Condition | undefined;
}

/**
 * The file is opened anew for each line, so that it may be moved away while `finwait up` runs.
 * @param path empty for no file
 * @throws FinwaitError FILE_UNWRITABLE when not even the first line can be written
 */
export function openLogFile(path: string): LogFile {
  if (path === '') return { write() {}, condition: () => undefined };
  let fault: FinwaitError | undefined;
  const write = (child: string, line: string) => {
    try {
      appendFileSync(path, `${new Date().toISOString()} ${child}: ${line}\n`);
      fault = undefined;
    } catch (error) {
      fault = unwritable(path, error as Error);
    }
  };
  write('up', `process ${process.pid} starts agent and operator`);
  if (fault !== undefined) throw fault;
  return { write, condition: () => (fault === undefined ? undefined : conditionOf(fault)) };
}

function unwritable(path: string, error: Error): FinwaitError {
  return new FinwaitError(
    'FILE_UNWRITABLE',
    `the log file ${path} cannot be written: ${error.message}`,
    'let --log-file name a file in a directory that exists, may be written to and has room',
  );
}
