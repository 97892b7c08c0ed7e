/** A directory that looks like /proc as far as owners of sockets are looked for in it. */

import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TempDir } from '../../support/temp-dir.ts';
import { makeTempDir } from '../../support/temp-dir.ts';

export interface FakeProc extends AsyncDisposable {
  readonly path: string;
  /** A process with one descriptor for each link: `socket:[7]`, `/dev/null`. */
  add(pid: number, name: string, links: readonly string[], startTime?: number): void;
  remove(pid: number): void;
}

export async function makeFakeProc(): Promise<FakeProc> {
  const dir: TempDir = await makeTempDir('proc');
  mkdirSync(join(dir.path, 'self/ns'), { recursive: true });
  // PROC_PID_INIT_INO: the PID namespace of the machine.
  symlinkSync('pid:[4026531836]', join(dir.path, 'self/ns/pid'));
  writeFileSync(join(dir.path, 'version'), '');
  mkdirSync(join(dir.path, '1'));
  return {
    path: dir.path,
    add(pid, name, links, startTime = 100) {
      const folder = join(dir.path, String(pid));
      mkdirSync(join(folder, 'fd'), { recursive: true });
      const between = Array.from({ length: 18 }, () => '0').join(' ');
      writeFileSync(join(folder, 'stat'), `${pid} (${name}) S ${between} ${startTime} 0 0\n`);
      for (const [fd, link] of links.entries()) symlinkSync(link, join(folder, 'fd', String(fd)));
    },
    remove: (pid) => rmSync(join(dir.path, String(pid)), { recursive: true }),
    [Symbol.asyncDispose]: () => dir[Symbol.asyncDispose](),
  };
}
