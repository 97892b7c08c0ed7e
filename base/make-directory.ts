/** Directories that may have to be made with those above them. */

import { mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';

/**
 * Makes a directory, and those above it, unless it is there. Node's own recursive mkdir never returns where the file
 * system refuses a name with ENOENT, as /proc does.
 * @param mode of each directory that is made
 * @throws the system's error: EACCES, ENOENT, ENOSPC, EROFS, EEXIST where something else has the name
 */
export async function makeDirectory(path: string, mode: number): Promise<void> {
  try {
    await mkdir(path, { mode });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const above = dirname(path);
    if (await isDirectory(path)) return;
    if (code !== 'ENOENT' || (await isDirectory(above))) throw error;
    await makeDirectory(above, mode);
    await makeDirectory(path, mode);
  }
}

async function isDirectory(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => undefined);
  return found?.isDirectory() === true;
}
