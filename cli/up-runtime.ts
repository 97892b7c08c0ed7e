/**
 * The private directory of one run of `finwait up`: token and TLS files. Its name tells whose it
 * is, so that the next run removes what a killed one left behind.
 */

import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { FinwaitError } from '#base/errors.ts';
import { namesIn } from './quiet-read.ts';
import { runFiles } from './up-settings.ts';

/** A process that cannot be mistaken for a later one with the same number. */
export interface ProcessMark {
  readonly pid: number;
  /** Start in clock ticks since boot: field 22 of /proc/PID/stat, proc_pid_stat(5). */
  readonly startTime: string;
}

/** The mark of a process that lives now, or undefined. */
export function markOf(pid: number): ProcessMark | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The second field, the name, stands in parentheses and may itself hold spaces and parentheses.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const [state, startTime] = [fields[0], fields[19]];
    return startTime === undefined || state === 'Z' ? undefined : { pid, startTime };
  } catch {
    return undefined;
  }
}

/** Whether a process still lives. */
export function lives(mark: ProcessMark): boolean {
  return markOf(mark.pid)?.startTime === mark.startTime;
}

/** Where private directories are made: /run/finwait for root, else the user's own runtime directory. */
export function runtimeBase(uid: number, env: Readonly<Record<string, string | undefined>>): string {
  if (uid === 0) return '/run/finwait';
  const own = env.XDG_RUNTIME_DIR;
  return own?.startsWith('/') ? join(own, 'finwait') : join(tmpdir(), `finwait-${uid}`);
}

/**
 * Makes the directory of this process, 0700, with a fresh token in it, 0600.
 * @throws FinwaitError RUN_DIR_UNUSABLE when the place cannot be used; then nothing is left there
 */
export function makeRunDirectory(base: string, owner: ProcessMark): string {
  const directory = join(base, `up-${owner.pid}-${owner.startTime}`);
  let undo = () => {};
  try {
    if (makeBase(base)) undo = () => removeIfEmpty(base);
    // Someone else's directory under /tmp could swap the files in it for others.
    const { uid } = statSync(base);
    if (uid !== process.getuid?.()) throw new Error(`${base} belongs to user ${uid}`);
    mkdirSync(directory, { mode: 0o700 });
    undo = () => removeRunDirectory(directory);
    const files = runFiles(directory);
    mkdirSync(files.tlsDir, { mode: 0o700 });
    writeFileSync(files.tokenFile, `${randomBytes(32).toString('base64url')}\n`, { mode: 0o600, flag: 'wx' });
  } catch (error) {
    undo();
    const hint =
      process.getuid?.() === 0
        ? `make it possible to write to ${base}: it must belong to root, on a file system with room that is not read-only`
        : 'set XDG_RUNTIME_DIR to a directory of your own that can be written';
    throw new FinwaitError('RUN_DIR_UNUSABLE', `no private directory can be made in ${base}`, hint, error);
  }
  return directory;
}

/**
 * Makes the base, and nothing above it: that is the system's or the session's. Answers whether it was made now,
 * and not by another run.
 */
function makeBase(base: string): boolean {
  try {
    mkdirSync(base, { mode: 0o700 });
    return true;
  } catch (error) {
    if (!existsSync(base)) throw error;
    return false;
  }
}

/** Removes a run's directory, and the base when it was the last one there. */
export function removeRunDirectory(directory: string): void {
  rmSync(directory, { recursive: true, force: true });
  removeIfEmpty(dirname(directory));
}

function removeIfEmpty(base: string): void {
  try {
    rmdirSync(base);
  } catch {
    // Another run has its directory there, or it was never made.
  }
}

/**
 * Notes a child in the directory, so that one which outlives a killed parent can be found.
 * @throws FinwaitError RUN_DIR_UNUSABLE when the directory was removed or is full
 */
export function noteChild(directory: string, child: ProcessMark): void {
  try {
    writeFileSync(join(directory, `child-${child.pid}-${child.startTime}`), '');
  } catch (error) {
    throw lost(directory, error);
  }
}

/** @throws FinwaitError RUN_DIR_UNUSABLE when the directory was removed: agent and operator need what was in it */
export function requireRunDirectory(directory: string): void {
  if (!existsSync(runFiles(directory).tokenFile)) throw lost(directory, undefined);
}

function lost(directory: string, cause: unknown): FinwaitError {
  return new FinwaitError(
    'RUN_DIR_UNUSABLE',
    `the private directory ${directory} was removed or cannot be written while finwait up runs`,
    'start finwait up again, and let nothing else remove or fill that directory',
    cause,
  );
}

/**
 * Removes what runs that were killed left behind: their directories, and children of theirs that still live.
 * @returns the directories removed
 */
export function removeLeftovers(base: string): string[] {
  const removed: string[] = [];
  for (const name of namesIn(base)) {
    const owner = markFromName(name, 'up');
    if (owner === undefined || lives(owner)) continue;
    for (const child of namesIn(join(base, name)).map((each) => markFromName(each, 'child'))) {
      if (child !== undefined && lives(child)) process.kill(child.pid, 'SIGKILL');
    }
    removeRunDirectory(join(base, name));
    removed.push(join(base, name));
  }
  return removed;
}

function markFromName(name: string, kind: 'up' | 'child'): ProcessMark | undefined {
  const match = new RegExp(`^${kind}-(\\d+)-(\\d+)$`).exec(name);
  return match === null ? undefined : { pid: Number(match[1]), startTime: match[2] ?? '' };
}
