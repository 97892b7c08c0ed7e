/** Looks into /proc and directories, where what is asked for may be gone or forbidden and then is nothing. */

import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

/** The text of a file, or '' when it cannot be read. */
export function textOf(path: string): string {
  return orElse('', () => readFileSync(path, 'utf8'));
}

/** Where a link points to, or '' when it cannot be read. */
export function linkOf(path: string): string {
  return orElse('', () => readlinkSync(path));
}

/** The names in a directory, none when it cannot be read. */
export function namesIn(directory: string): string[] {
  return orElse([], () => readdirSync(directory));
}

function orElse<T>(nothing: T, read: () => T): T {
  try {
    return read();
  } catch {
    return nothing;
  }
}
