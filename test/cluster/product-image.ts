/** The product's image, built from its Dockerfile as a user would, once for what goes into it. */

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { BASE_IMAGE, baseArchive } from './images.ts';
import { CACHE } from './layout.ts';
import { attempt, run } from './run.ts';

const ROOT = join(import.meta.dirname, '../..');
const IMAGES = join(CACHE, 'images');
/** Where buildah keeps the npm cache of the Dockerfile's mount, from build to build. */
const BUILD_CACHE = join(CACHE, 'buildah');

/** What the cluster's nodes know it by. */
export const PRODUCT_IMAGE = 'localhost/fw/finwait:test';

/** What the Dockerfile copies, and what says how. */
const SOURCES = ['Dockerfile', '.dockerignore', 'package.json', 'package-lock.json'];
const SOURCE_FOLDERS = ['base', 'cli', 'daemon', 'operator'];

/** The archive of the product's image as the checkout is now; an older one is removed. */
export async function productArchive(say: (line: string) => void): Promise<string> {
  const name = `finwait-${contentHash()}.tar`;
  const archive = join(IMAGES, name);
  if (existsSync(archive)) return archive;
  const base = await baseArchive(say);
  say('building the image from the Dockerfile (once for this content; about half a minute)');
  const startedMs = Date.now();
  for (const folder of [IMAGES, BUILD_CACHE]) mkdirSync(folder, { recursive: true });
  if (attempt('buildah', 'images', '--quiet', BASE_IMAGE) === '') {
    await run(['buildah', 'pull', `oci-archive:${base}`], { timeoutMs: 300_000 });
  }
  const dir = mkdtempSync(join(tmpdir(), 'fw-image-'));
  try {
    const npmrc = join(dir, 'npmrc');
    writeFileSync(npmrc, npmSettings(), { mode: 0o600 });
    await run(
      [
        ...['buildah', 'build', '--isolation', 'chroot', '--pull-never', '--layers'],
        ...['--secret', `id=npmrc,src=${npmrc}`, '--volume', '/etc/ssl/certs:/etc/ssl/certs:ro'],
        ...['--tag', PRODUCT_IMAGE, ROOT],
      ],
      { env: { TMPDIR: BUILD_CACHE }, timeoutMs: 600_000 },
    );
    await run(['buildah', 'push', PRODUCT_IMAGE, `oci-archive:${archive}.new:${PRODUCT_IMAGE}`], {
      timeoutMs: 300_000,
    });
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
  for (const old of readdirSync(IMAGES).filter((file) => /^finwait-[0-9a-f]+\.tar$/.test(file))) {
    rmSync(join(IMAGES, old));
  }
  renameSync(`${archive}.new`, archive);
  const megabytes = Math.round(statSync(archive).size / 1e6);
  say(`image built in ${Math.round((Date.now() - startedMs) / 1000)} s, ${megabytes} MB compressed`);
  return archive;
}

/** Names the content of the image: two checkouts with the same files share one. */
function contentHash(): string {
  const files = [
    ...SOURCES,
    ...SOURCE_FOLDERS.flatMap((folder) => globSync(`${folder}/**/*`, { cwd: ROOT })),
  ].filter((file) => statSync(join(ROOT, file)).isFile());
  const hash = createHash('sha256').update(process.version);
  for (const file of files.sort()) hash.update(`\n${file}\n`).update(readFileSync(join(ROOT, file)));
  return hash.digest('hex').slice(0, 12);
}

/** How this machine's npm reaches its registry; given to the build as a secret, so that no image holds it. */
function npmSettings(): string {
  const own = join(homedir(), '.npmrc');
  const settings = ['registry', 'cafile'].map((key) => {
    const value = execFileSync('npm', ['config', 'get', key], {
      cwd: tmpdir(),
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
    return value === 'null' || value === 'undefined' ? '' : `${key}=${value}\n`;
  });
  return settings.join('') + (existsSync(own) ? readFileSync(own, 'utf8') : '');
}
