/**
 * Images without a registry: the pause image is a ten-line C program, the base image a minimal Debian with the
 * project's own Node.
 */

import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { NodeLayout } from './layout.ts';
import { CACHE, containerdSocket } from './layout.ts';
import { run } from './run.ts';

export const PAUSE_IMAGE = 'localhost/fw/pause:1';

const PAUSE_SOURCE = `
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
static void stop(int n) { (void)n; _exit(0); }
static void reap(int n) { (void)n; while (waitpid(-1, 0, WNOHANG) > 0) {} }
int main(void) {
  signal(SIGINT, stop); signal(SIGTERM, stop); signal(SIGCHLD, reap);
  for (;;) pause();
}
`;

/** The archive of the pause image, built once. */
export async function pauseArchive(): Promise<string> {
  const archive = join(CACHE, 'images', 'pause-1.tar');
  if (existsSync(archive)) return archive;
  mkdirSync(join(CACHE, 'images'), { recursive: true });
  const dir = mkdtempSync(join(tmpdir(), 'fw-pause-'));
  try {
    writeFileSync(join(dir, 'pause.c'), PAUSE_SOURCE);
    await run(['gcc', '-Os', '-static', '-s', '-o', join(dir, 'pause'), join(dir, 'pause.c')]);
    const container = (await run(['buildah', 'from', 'scratch'])).trim();
    await run(['buildah', 'copy', container, join(dir, 'pause'), '/pause']);
    await run(['buildah', 'config', '--entrypoint', '["/pause"]', container]);
    await run(['buildah', 'commit', '--rm', container, PAUSE_IMAGE]);
    await run(['buildah', 'push', PAUSE_IMAGE, `oci-archive:${archive}.new:${PAUSE_IMAGE}`]);
    renameSync(`${archive}.new`, archive);
    return archive;
  } finally {
    rmSync(dir, { recursive: true });
  }
}

/** The name the product's Dockerfile builds on. */
export const BASE_IMAGE = 'docker.io/library/node:26-bookworm-slim';

/** The npm of the base image. */
const NPM = '11';

/** The archive of the base image, built once: a minimal Debian, this project's Node, and npm. */
export async function baseArchive(say: (line: string) => void): Promise<string> {
  const archive = join(CACHE, 'images', `base-${process.version}-npm-${NPM}.tar`);
  if (!existsSync(archive)) await buildBaseImage(archive, say);
  return archive;
}

async function buildBaseImage(archive: string, say: (line: string) => void): Promise<void> {
  say('building the base image (once; about a minute)');
  mkdirSync(join(CACHE, 'images'), { recursive: true });
  const dir = mkdtempSync(join(tmpdir(), 'fw-base-'));
  const root = join(dir, 'root');
  try {
    const include = '--include=libstdc++6,libatomic1,ca-certificates';
    await run(['debootstrap', '--variant=minbase', include, 'bookworm', root], { timeoutMs: 600_000 });
    for (const path of [
      'var/cache/apt',
      'var/lib/apt/lists',
      'usr/share/doc',
      'usr/share/man',
      'usr/share/locale',
    ]) {
      rmSync(join(root, path), { recursive: true, force: true });
    }
    copyFileSync(process.execPath, join(root, 'usr/local/bin/node'));
    await addNpm(dir, root);
    const container = (await run(['buildah', 'from', 'scratch'])).trim();
    await run(['buildah', 'copy', container, root, '/'], { timeoutMs: 300_000 });
    await run([
      'buildah',
      'config',
      '--cmd',
      '["node"]',
      '--env',
      `NODE_VERSION=${process.version.slice(1)}`,
      container,
    ]);
    await run(['buildah', 'commit', '--rm', container, BASE_IMAGE], { timeoutMs: 300_000 });
    await run(['buildah', 'push', BASE_IMAGE, `oci-archive:${archive}.new:${BASE_IMAGE}`], {
      timeoutMs: 300_000,
    });
    renameSync(`${archive}.new`, archive);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

async function addNpm(dir: string, root: string): Promise<void> {
  await run(['npm', 'install', '--no-audit', '--no-fund', '--prefix', join(dir, 'npm'), `npm@${NPM}`]);
  mkdirSync(join(root, 'usr/local/lib/node_modules'), { recursive: true });
  renameSync(join(dir, 'npm/node_modules/npm'), join(root, 'usr/local/lib/node_modules/npm'));
  symlinkSync('../lib/node_modules/npm/bin/npm-cli.js', join(root, 'usr/local/bin/npm'));
}

/** Puts an image archive into a node. */
export async function importImage(node: NodeLayout, archive: string): Promise<void> {
  await run(['ctr', '-a', containerdSocket(node), '-n', 'k8s.io', 'images', 'import', archive]);
}
