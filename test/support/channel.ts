/**
 * What a test file tells the runner, one JSON object a line on a pipe of its own, so that nothing a test
 * prints can be taken for a result. Written synchronously: a crash loses nothing that was said before it.
 */

import { writeSync } from 'node:fs';

export type TestMessage =
  /** Sent once a spec is defined: what it is going to run. */
  | { readonly type: 'spec'; readonly spec: string; readonly tests: number; readonly filtered: number }
  /** The file waits for its turn to use state that the whole machine shares. */
  | { readonly type: 'waiting' }
  | { readonly type: 'start'; readonly spec: string; readonly title: string; readonly timeoutMs: number }
  | { readonly type: 'pass'; readonly spec: string; readonly title: string; readonly ms: number }
  | { readonly type: 'fail'; readonly spec: string; readonly title: string; readonly text: string }
  | { readonly type: 'skip'; readonly spec: string; readonly title: string; readonly why: string }
  /** Every spec of the file has run; what follows is only the end of the process. */
  | { readonly type: 'done' };

/** Names the file descriptor of the pipe; absent when a file is run by hand. */
export const CHANNEL_VARIABLE = 'FINWAIT_TEST_CHANNEL';

const descriptor = process.env[CHANNEL_VARIABLE];
// Programs that a test starts must not take themselves for test files.
delete process.env[CHANNEL_VARIABLE];

/** Tells the runner, if there is one. */
export function tellRunner(message: TestMessage): void {
  if (descriptor === undefined) return;
  writeSync(Number(descriptor), `${JSON.stringify(message)}\n`);
}
