/**
 * Keeps reports until the operator has acknowledged them: those with probe results in files when there is a
 * directory, so that they outlive the agent; others in memory. A file is the body that is pushed. Files are
 * written aside and renamed, so that none is ever half; they survive the death of the agent, and not always
 * that of the machine, because nothing waits for the disk.
 */

import { readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Condition } from '#base/errors.ts';
import { makeDirectory } from '#base/make-directory.ts';
import type { Report } from '#contract';
import type { Keeping, SpoolEntry } from './spool-index.ts';
import { SpoolIndex } from './spool-index.ts';

/** Bound of what is kept in memory, with or without a directory. */
const MEMORY_BYTES = 8 * 2 ** 20;
const FILE_NAME = /^\d{15}-([0-9a-f-]{36})-(\d{1,16})-(\d{1,6})\.json$/;
const ASIDE = '.tmp';

/** Totals since start. */
export interface SpoolCounters {
  /** Reports, and probe results in them, that a bound forced out. */
  evictedReports: number;
  evictedResults: number;
  /** Files that could not be written, read or removed. */
  fileErrors: number;
}

export interface SpoolSize {
  readonly reports: number;
  readonly results: number;
  /** Those of the results that end with the agent. */
  readonly inMemory: number;
  readonly bytes: Readonly<Record<Keeping, number>>;
}

export class Spool {
  readonly counters: SpoolCounters = { evictedReports: 0, evictedResults: 0, fileErrors: 0 };
  readonly #directory: string | undefined;
  readonly #index: SpoolIndex;
  readonly #bodies = new Map<SpoolEntry, string>();
  readonly #files = new Map<SpoolEntry, string>();
  #fault: Condition | undefined;

  private constructor(directory: string | undefined, diskBytes: number) {
    this.#directory = directory;
    this.#index = new SpoolIndex({ disk: diskBytes, memory: MEMORY_BYTES });
  }

  /**
   * Opens the spool and takes over what an earlier run of the agent left. A directory that cannot be used is a
   * condition, not an error: reports are kept in memory then.
   * @param directory made when it is missing; undefined to keep all in memory
   * @param diskBytes most bytes of all files
   */
  static async open(directory: string | undefined, diskBytes: number): Promise<Spool> {
    const spool = new Spool(directory, diskBytes);
    if (directory !== undefined) await spool.#takeOver(directory);
    return spool;
  }

  /** SPOOL_UNUSABLE while the directory cannot be used. */
  get conditions(): readonly Condition[] {
    return this.#fault === undefined ? [] : [this.#fault];
  }

  /** Reports that wait for their acknowledgement, and the probe results in them. */
  get size(): SpoolSize {
    const index = this.#index;
    const inMemory = index.results('memory');
    return {
      reports: index.size,
      results: inMemory + index.results('disk'),
      inMemory,
      bytes: { disk: index.bytes('disk'), memory: index.bytes('memory') },
    };
  }

  async add(report: Report): Promise<void> {
    const body = JSON.stringify(report);
    const { boot, seq, toMs, probes } = report;
    const results = probes.length;
    const name = `${String(toMs).padStart(15, '0')}-${boot}-${seq}-${results}.json`;
    const path = results > 0 ? await this.#write(name, body) : undefined;
    const keeping = path === undefined ? 'memory' : 'disk';
    const entry: SpoolEntry = { boot, seq, results, bytes: Buffer.byteLength(body), keeping };
    if (path === undefined) this.#bodies.set(entry, body);
    else this.#files.set(entry, path);
    await this.#evict(this.#index.add(entry));
  }

  /** The report to push next, if one is due. */
  next(nowMs: number): SpoolEntry | undefined {
    return this.#index.next(nowMs);
  }

  /** The report as it is pushed; undefined when its file is gone or cannot be read, and then it is forgotten. */
  async body(entry: SpoolEntry): Promise<string | undefined> {
    const path = this.#files.get(entry);
    if (path === undefined) return this.#bodies.get(entry);
    try {
      return await readFile(path, 'utf8');
    } catch (error) {
      this.#failed('read', path, error);
      await this.#evict([entry]);
      return undefined;
    }
  }

  /** See SpoolIndex.answered. */
  async answered(entry: SpoolEntry, instance: string, seq: number, nowMs: number): Promise<void> {
    for (const done of this.#index.answered(entry, instance, seq, nowMs)) await this.#drop(done);
  }

  /** Forgets a report that the operator will never take. */
  async discard(entry: SpoolEntry): Promise<void> {
    this.#index.remove(entry);
    await this.#drop(entry);
  }

  async #takeOver(directory: string): Promise<void> {
    try {
      await makeDirectory(directory, 0o700);
      for (const name of (await readdir(directory)).sort()) {
        const path = join(directory, name);
        const [, boot, seq, results] = FILE_NAME.exec(name) ?? [];
        if (boot !== undefined) {
          const { size } = await stat(path);
          const entry = {
            boot,
            seq: Number(seq),
            results: Number(results),
            bytes: size,
            keeping: 'disk',
          } as const;
          this.#files.set(entry, path);
          await this.#evict(this.#index.add(entry));
        } else if (name.endsWith(ASIDE)) {
          await rm(path, { force: true });
        }
      }
    } catch (error) {
      this.#failed('use', directory, error);
    }
  }

  async #write(name: string, body: string): Promise<string | undefined> {
    if (this.#directory === undefined) return undefined;
    const path = join(this.#directory, name);
    const aside = path + ASIDE;
    try {
      await makeDirectory(this.#directory, 0o700);
      await writeFile(aside, body, { mode: 0o600 });
      await rename(aside, path);
      this.#fault = undefined;
      return path;
    } catch (error) {
      this.#failed('write', path, error);
      await rm(aside, { force: true }).catch(() => {});
      return undefined;
    }
  }

  async #evict(entries: readonly SpoolEntry[]): Promise<void> {
    for (const entry of entries) {
      this.counters.evictedReports++;
      this.counters.evictedResults += entry.results;
      await this.discard(entry);
    }
  }

  async #drop(entry: SpoolEntry): Promise<void> {
    this.#bodies.delete(entry);
    const path = this.#files.get(entry);
    if (path === undefined) return;
    this.#files.delete(entry);
    try {
      await rm(path, { force: true });
    } catch (error) {
      this.#failed('remove', path, error);
    }
  }

  #failed(doing: string, path: string, error: unknown): void {
    this.counters.fileErrors++;
    this.#fault = {
      code: 'SPOOL_UNUSABLE',
      message: `could not ${doing} ${path}: ${error instanceof Error ? error.message : String(error)}`,
      hint: 'give --state-dir a directory that this user can write to and that has room; until then undelivered reports are kept in memory and are lost when the agent ends',
    };
  }
}
