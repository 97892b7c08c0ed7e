#!/usr/bin/env node
// The installed command. Plain JavaScript, so that any Node from 20 on can start it: it finds the Node this
// package pins and hands the command line to main.ts, or says what is missing.

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const main = join(root, 'cli', 'main.ts');
const setUp = `run \`node scripts/setup.mjs\` in ${root} as the owner of that folder`;
const node = pinnedNode();
if (node !== undefined) run(node);

/** The path of the pinned Node, or undefined after saying what is missing. */
function pinnedNode() {
  if (process.platform !== 'linux' || (process.arch !== 'x64' && process.arch !== 'arm64')) {
    return complain(
      'UNSUPPORTED_PLATFORM',
      `finwait reads the tables of a Linux kernel; this is ${process.platform} on ${process.arch}`,
      'run it on Linux on x64 or arm64',
    );
  }
  const name = `node-linux-${process.arch}`;
  try {
    const path = join(dirname(createRequire(import.meta.url).resolve(`${name}/package.json`)), 'bin', 'node');
    if (existsSync(path)) return path;
  } catch {
    // Not installed: said below.
  }
  return complain(
    'NOT_SET_UP',
    `the Node that finwait runs on (npm package ${name}) is not installed`,
    setUp,
  );
}

function complain(code, message, hint) {
  process.stderr.write(`finwait: ${code}: ${message}\n  hint: ${hint}\n`);
  process.exitCode = 3;
  return undefined;
}

/** Runs main.ts in this process's place: same streams, signals passed on, same end. */
function run(path) {
  // Set before it starts, it spares the child the compiler of TypeScript: see rememberCompiledCode in main.ts.
  const packages = join(root, 'node_modules');
  const compiled = existsSync(packages) ? { NODE_COMPILE_CACHE: join(packages, '.cache/compiled') } : {};
  const env = { ...compiled, ...process.env };
  const child = spawn(path, [main, ...process.argv.slice(2)], { stdio: 'inherit', env });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR2']) {
    process.on(signal, () => child.kill(signal));
  }
  child.on('error', (error) => {
    complain('NOT_SET_UP', `${path} does not start: ${error.message}`, `${setUp}; it needs glibc, too`);
  });
  child.on('exit', (code, signal) => {
    if (signal === null) {
      process.exitCode = code ?? 1;
    } else {
      process.removeAllListeners(signal);
      process.kill(process.pid, signal);
    }
  });
}
