/**
 * What a run has changed on the host that would outlive it, written down before it is changed, so that the next
 * start can take it back after a kill -9. One file per device in the state directory, a JSON value on each line;
 * a run holds a lock on its file as long as it lives, which tells the living from the dead across pid namespaces.
 */

import {
  closeSync,
  existsSync,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmdirSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { FinwaitError } from '#base/errors.ts';
import * as libc from './libc.ts';

/** One thing to take back. */
export type Change =
  /** An nftables table that does not die with its socket. */
  | { readonly kind: 'table'; readonly name: string }
  /** A setting, its value before, and the one finwait gave it. */
  | { readonly kind: 'setting'; readonly path: string; readonly was: string; readonly set: string };

/** A run's file as another run sees it. */
export interface RunState {
  readonly file: string;
  /** Whether the run still lives. */
  readonly alive: boolean;
  readonly changes: readonly Change[];
}

const FILE = /^host-(\d+)-[A-Za-z0-9_-]{1,15}\.jsonl$/;
/** No run changes so much; what lies beyond is not ours. */
const MOST_BYTES = 64 * 1024;
/** The only settings finwait ever changes: nothing else is written back, whatever a file says. */
const SETTING = /^\/proc\/sys\/net\/ipv[46]\/conf\/[^/]{1,15}\/(forwarding|force_forwarding)$/;

/** A living run's file. */
export class HostState implements Disposable {
  readonly #dir: string;
  readonly #file: string;
  readonly #fd: number;
  /** Whether the directory was made for this file; then it goes with it. */
  readonly #madeDir: boolean;
  readonly #changes: Change[] = [];

  private constructor(dir: string, file: string, fd: number, madeDir: boolean) {
    this.#dir = dir;
    this.#file = file;
    this.#fd = fd;
    this.#madeDir = madeDir;
  }

  /** @throws FinwaitError STATE_DIR_UNUSABLE */
  static create(dir: string, device: string): HostState {
    const madeDir = !existsSync(dir);
    return withLock(dir, () => {
      const file = `host-${networkNamespace()}-${device}.jsonl`;
      const fd = openSync(join(dir, file), 'w', 0o600);
      const locked = libc.flock(fd, libc.LOCK_EX | libc.LOCK_NB);
      if (locked < 0) throw new Error(`${file} is locked: ${libc.errnoName(-locked)}`);
      writeSync(fd, `${JSON.stringify({ boot: bootId(), pid: process.pid })}\n`);
      return new HostState(dir, file, fd, madeDir);
    });
  }

  get changes(): readonly Change[] {
    return this.#changes;
  }

  /** Writes a change down. To be called before it is made. */
  record(change: Change): void {
    writeSync(this.#fd, `${JSON.stringify(change)}\n`);
    this.#changes.push(change);
  }

  /** The other runs of this network namespace, with the directory locked against their coming and going. */
  withOthers<T>(use: (others: readonly RunState[]) => T): T {
    return withLock(this.#dir, () => use(runsOf(this.#dir).filter((run) => run.file !== this.#file)));
  }

  /** Forgets everything. To be called when all changes are taken back. */
  [Symbol.dispose](): void {
    withLock(this.#dir, () => {
      rmSync(join(this.#dir, this.#file), { force: true });
      this.leave();
      if (this.#madeDir && readdirSync(this.#dir).length === 0) rmdirSync(this.#dir);
    });
  }

  /** Leaves what is written down to the next start. */
  leave(): void {
    closeSync(this.#fd);
  }
}

/**
 * The dead runs of this network namespace, and the living; `forget` removes a dead run's file.
 * Does nothing when the directory does not exist.
 * @throws FinwaitError STATE_DIR_UNUSABLE
 */
export function withRuns(
  dir: string,
  use: (runs: readonly RunState[], forget: (run: RunState) => void) => void,
): void {
  if (!existsSync(dir)) return;
  withLock(dir, () => use(runsOf(dir), (run) => rmSync(join(dir, run.file))));
}

function withLock<T>(dir: string, use: () => T): T {
  let fd: number | undefined;
  try {
    do {
      if (fd !== undefined) closeSync(fd);
      makeDirectory(dir);
      fd = openSync(dir, 'r');
      while (libc.flock(fd, libc.LOCK_EX) === -libc.EINTR);
      // Another run may have removed the directory while this one waited for it.
    } while (!existsSync(dir) || fstatSync(fd).ino !== statSync(dir).ino);
    return use();
  } catch (error) {
    if (error instanceof Error && 'syscall' in error) throw unusable(dir, error);
    throw error;
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/** Not `mkdir -p` of Node, which turns for ever in a place like /proc, where ENOENT is the answer to mkdir. */
function makeDirectory(dir: string): void {
  if (existsSync(dir)) return;
  makeDirectory(dirname(dir));
  try {
    mkdirSync(dir, { mode: 0o700 });
  } catch (error) {
    if (!existsSync(dir)) throw error; // else another run has just made it
  }
}

function unusable(dir: string, cause: Error): FinwaitError {
  return new FinwaitError(
    'STATE_DIR_UNUSABLE',
    `the state directory ${dir} cannot be used: ${cause.message}`,
    'give finwait a directory it may write to with --state-dir, the same one at each start',
    cause,
  );
}

function runsOf(dir: string): RunState[] {
  const here = networkNamespace();
  return readdirSync(dir)
    .filter((file) => FILE.exec(file)?.[1] === here)
    .map((file) => ({ file, alive: isLocked(join(dir, file)), changes: readChanges(join(dir, file)) }));
}

function isLocked(path: string): boolean {
  const fd = openSync(path, 'r');
  try {
    return libc.flock(fd, libc.LOCK_EX | libc.LOCK_NB) < 0;
  } finally {
    closeSync(fd);
  }
}

/** What a file says; nothing when it was written before the machine was started, which took everything back. */
function readChanges(path: string): Change[] {
  const [header, ...lines] = readFileSync(path, 'utf8')
    .slice(0, MOST_BYTES)
    .split('\n')
    .map((line) => parseLine(line));
  if (header?.boot !== bootId()) return [];
  return lines.map(changeOf).filter((change) => change !== undefined);
}

function parseLine(line: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? { ...value } : undefined;
  } catch {
    return undefined; // the line that was being written when the run was killed
  }
}

function changeOf(line: Record<string, unknown> | undefined): Change | undefined {
  const { kind, name, path, was, set } = line ?? {};
  if (kind === 'table' && typeof name === 'string' && /^finwait\d{0,2}$/.test(name)) return { kind, name };
  const known = typeof path === 'string' && SETTING.test(path);
  if (kind === 'setting' && known && isSwitch(was) && isSwitch(set)) return { kind, path, was, set };
  return undefined;
}

function isSwitch(value: unknown): value is '0' | '1' {
  return value === '0' || value === '1';
}

/** The inode of this thread's network namespace. */
function networkNamespace(): string {
  return /\d+/.exec(readlinkSync('/proc/thread-self/ns/net'))?.[0] ?? '';
}

function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}
