/**
 * Who started `finwait up` on a person's behalf: npm, or the `finwait` command. When that is killed, nobody is left
 * to pass a Ctrl-C on, so `finwait up` ends too. A shell is no launcher: what it started may outlive it.
 */

import { textOf } from './quiet-read.ts';
import type { ProcessMark } from './up-runtime.ts';
import { lives, markOf } from './up-runtime.ts';

/** npm, sh, finwait.mjs, main.ts: no more than two between us and npm. */
const MOST_GENERATIONS = 3;
const LOOK_MS = 1000;

/** The nearest ancestor that is a launcher, if there is one. */
export function launcherOf(pid: number): ProcessMark | undefined {
  let parent = parentOf(pid);
  for (let generation = 0; generation < MOST_GENERATIONS && parent > 1; generation++) {
    const command = textOf(`/proc/${parent}/cmdline`).replaceAll('\0', ' ');
    if (/^npm |\bfinwait\.mjs |[/.]bin\/finwait /.test(command)) return markOf(parent);
    parent = parentOf(parent);
  }
  return undefined;
}

/** Calls back once when the launcher has ended. */
export function whenLauncherEnds(launcher: ProcessMark | undefined, onEnd: () => void): Disposable {
  const look = () => {
    if (launcher !== undefined && lives(launcher)) return;
    clearInterval(timer);
    if (launcher !== undefined) onEnd();
  };
  const timer = setInterval(look, LOOK_MS).unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

/** proc_pid_status(5), `PPid`; 0 when the process is gone. */
function parentOf(pid: number): number {
  return Number(/^PPid:\s*(\d+)/m.exec(textOf(`/proc/${pid}/status`))?.[1] ?? 0);
}
