/**
 * Makes a fresh clone ready: installs what package-lock.json lists, the pinned Node among it, when that is not
 * there yet. Runs before `npm start` and `npm test` on whatever Node the system has, so it is plain JavaScript
 * of old; on a second run it compares a stamp and ends.
 */

import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = realpathSync(join(dirname(fileURLToPath(import.meta.url)), '..'));
const MODULES = join(ROOT, 'node_modules');
/** Written last, so an install that was cut short leaves none. */
const STAMP = join(MODULES, '.finwait-setup');
const MIN_NODE_MAJOR = 20;
const PROGRESS_MS = process.stderr.isTTY ? 200 : 3000;
const OFFLINE = /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|ENOTCACHED/;

main().catch((error) => {
  process.stderr.write(`\nfinwait set-up: ${error.message}\n`);
  if (error.hint) process.stderr.write(`  hint: ${error.hint}\n`);
  process.exitCode = 1;
});

async function main() {
  const wanted = wantedStamp();
  if (isReady(wanted)) return;
  checkMachine();
  for (;;) {
    const turn = await takeTurn(wanted);
    if (turn !== undefined) {
      // Another set-up may have ended between the look at the stamp and the turn.
      if (!isReady(wanted)) await install(wanted, turn);
      turn.close();
      return;
    }
    if (isReady(wanted)) return;
  }
}

/** Names what must be installed: the lock file's content, and the machine it was installed for. */
function wantedStamp() {
  const lock = readFileSync(join(ROOT, 'package-lock.json'));
  return `${createHash('sha256').update(lock).digest('hex')} ${process.platform}-${process.arch}\n`;
}

function isReady(wanted) {
  try {
    return readFileSync(STAMP, 'utf8') === wanted && existsSync(join(MODULES, '.bin', 'node'));
  } catch {
    return false;
  }
}

function checkMachine() {
  if (process.platform !== 'linux' || (process.arch !== 'x64' && process.arch !== 'arm64')) {
    throw problem(
      `finwait runs on Linux on x64 and arm64; this is ${process.platform} on ${process.arch}`,
      'use a Linux machine, a virtual machine or a container',
    );
  }
  if (Number(process.versions.node.split('.')[0]) < MIN_NODE_MAJOR) {
    throw problem(
      `Node ${MIN_NODE_MAJOR} or newer is needed to begin with; this is Node ${process.versions.node}`,
      'install a current Node with npm; finwait then brings the exact version it runs on',
    );
  }
  if (process.report.getReport().header.glibcVersionRuntime === undefined) {
    throw problem(
      'the Node that finwait brings needs glibc, and this system has another C library (musl?)',
      'use a distribution with glibc, such as Debian, Ubuntu or Fedora',
    );
  }
}

/**
 * One set-up of this folder at a time: the turn is an abstract Unix socket, which ends with the processes that hold it.
 * Answers undefined after somebody else's turn has ended.
 */
function takeTurn(wanted) {
  const name = `\0finwait-setup-${createHash('sha256').update(ROOT).digest('hex').slice(0, 32)}`;
  return new Promise((resolve, reject) => {
    const server = createServer((waiter) => waiter.on('error', () => {}).unref());
    server.on('error', (error) => {
      if (error.code !== 'EADDRINUSE') return reject(error);
      say('another set-up of this folder is at work; waiting for it');
      const socket = connect(name);
      const poll = setInterval(() => {
        if (isReady(wanted)) socket.destroy();
      }, 200);
      const ended = () => {
        clearInterval(poll);
        resolve(undefined);
      };
      socket.on('error', () => {}).on('close', ended);
    });
    server.listen(name, () => {
      server.unref();
      resolve(server);
    });
  });
}

async function install(wanted, turn) {
  const packages = fittingPackages();
  try {
    rmSync(STAMP, { force: true });
  } catch (error) {
    throw unwritable(error);
  }
  say(`installing ${packages.length} packages into node_modules (once; about half a minute, 370 MB)`);
  const startedMs = Date.now();
  const { code, output } = await npmCi(packages, turn);
  if (code !== 0) throw explain(output);
  try {
    writeFileSync(STAMP, wanted);
  } catch (error) {
    throw unwritable(error);
  }
  say(`done in ${Math.round((Date.now() - startedMs) / 1000)} s`);
}

/** Folders of the packages that npm will install on this machine. */
function fittingPackages() {
  const lock = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8'));
  const fits = (list, value) => list === undefined || list.indexOf(value) >= 0;
  return Object.keys(lock.packages).filter((folder) => {
    const { os, cpu, libc } = lock.packages[folder];
    return folder !== '' && fits(os, process.platform) && fits(cpu, process.arch) && fits(libc, 'glibc');
  });
}

/** npm holds the turn, too: when set-up is killed it goes on, and nobody else may install meanwhile. */
function npmCi(packages, turn) {
  // The npm that runs this script, where one does, so that it is not another one from PATH.
  const npm = process.env.npm_execpath;
  const args = ['ci', '--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund', '--loglevel=error'];
  const retries = ['--fetch-retries=2', '--fetch-retry-mintimeout=1000', '--fetch-retry-maxtimeout=5000'];
  const command = npm ? [process.execPath, npm] : ['npm'];
  return new Promise((resolve, reject) => {
    const child = spawn(command[0], command.slice(1).concat(args, retries), {
      cwd: ROOT,
      stdio: ['ignore', 'pipe', 'pipe', turn._handle?.fd ?? 'ignore'],
    });
    let output = '';
    const collect = (text) => {
      output += text;
    };
    child.stdout.on('data', collect);
    child.stderr.on('data', collect);
    let shown = -1;
    const progress = setInterval(() => {
      const here = packages.filter((folder) => existsSync(join(ROOT, folder, 'package.json'))).length;
      if (here === shown) return;
      shown = here;
      const text = `finwait set-up: ${here} of ${packages.length} packages`;
      process.stderr.write(process.stderr.isTTY ? `\r${text}\x1b[K` : `${text}\n`);
    }, PROGRESS_MS);
    const stop = () => {
      clearInterval(progress);
      if (process.stderr.isTTY) process.stderr.write('\r\x1b[K');
    };
    child.on('error', (error) => {
      stop();
      reject(
        error.code === 'ENOENT'
          ? problem('npm is missing', 'install npm; it comes with Node from most sources')
          : error,
      );
    });
    child.on('close', (code) => {
      stop();
      resolve({ code, output });
    });
  });
}

function explain(output) {
  const lines = output.split('\n').filter((line) => line.trim() !== '');
  const told = lines.slice(0, 12).join('\n  ');
  if (/EACCES|EROFS|EPERM/.test(output)) return unwritable(new Error(told));
  if (/ENOSPC/.test(output)) return problem(`the disk is full\n  ${told}`, 'free about 400 MB and try again');
  if (OFFLINE.test(output)) {
    return problem(
      `packages cannot be fetched\n  ${told}`,
      'check the network, the proxy and the registry (npm config get registry), then try again',
    );
  }
  return problem(
    `npm ci failed\n  ${told}`,
    'run npm ci --ignore-scripts in this folder to see it in full; a try again begins anew',
  );
}

function unwritable(error) {
  return problem(
    `cannot write to ${MODULES}: ${error.message}`,
    'run it as the owner of the folder, or clone finwait to a place you can write to',
  );
}

function problem(message, hint) {
  return Object.assign(new Error(message), { hint });
}

function say(text) {
  process.stderr.write(`finwait set-up: ${text}\n`);
}
