/** Runs the engine as a process of its own on the measured core, with or without a profiler. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Role } from './engine-child.ts';
import { setUpDevice } from './network.ts';
import { type Summary, summarize } from './profile.ts';
import { MEASURED_CORE, type Program, start } from './programs.ts';

const CHILD = join(import.meta.dirname, 'engine-child.ts');

export interface EngineResult {
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly retransmitted: number;
  readonly cookies: number;
  readonly dropped: Readonly<Record<string, number>>;
  readonly writesFailed: number;
  /** As the role has them. */
  readonly bytes: number;
  readonly done: number;
  readonly failed: number;
  readonly closed: number;
}

export interface Work {
  readonly seconds: number;
  readonly atOnce?: number;
  readonly bytes?: number;
  /** Where a CPU profile is to be written. */
  readonly profile?: string | undefined;
}

/** Starts it with the device up; it works as soon as it is told a line, and answers with one. */
export async function startEngine(role: Role, work: Work): Promise<Program> {
  const engine = start(MEASURED_CORE, process.execPath, [CHILD, role, JSON.stringify(work)]);
  await engine.line();
  setUpDevice();
  return engine;
}

/** Runs it to the end of its work. */
export async function runEngine(role: Role, work: Work): Promise<EngineResult> {
  await using engine = await startEngine(role, work);
  engine.tell('go');
  const result = JSON.parse(await engine.line()) as EngineResult;
  await engine.ended;
  return result;
}

/** Measures again with V8's sampling profiler in the engine, which writes to the path given: where the time goes. */
export async function profiled(measure: (profile: string) => Promise<unknown>): Promise<Summary> {
  const folder = mkdtempSync(join(tmpdir(), 'finwait-bench-'));
  try {
    const profile = join(folder, 'engine.cpuprofile');
    await measure(profile);
    return summarize(profile);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
