/**
 * `npm run collector -- build | path`: a real OpenTelemetry Collector for the tests, built from Go modules
 * into a cache folder outside the repository that is named after what is in it. What is there is not built again.
 */

import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

const VERSION = '0.155.0';
/** The providers of configuration are numbered with the stable modules. */
const STABLE_VERSION = '1.61.0';
const CORE = 'go.opentelemetry.io/collector';

/** What goes into the binary, in the builder's own format. */
const MANIFEST = `dist:
  module: finwait.io/otelcol
  name: otelcol
  description: OpenTelemetry Collector for the tests of finwait
  version: ${VERSION}
  output_path: ./out
receivers:
  - gomod: ${CORE}/receiver/otlpreceiver v${VERSION}
exporters:
  - gomod: ${CORE}/exporter/debugexporter v${VERSION}
  - gomod: ${CORE}/exporter/otlphttpexporter v${VERSION}
providers:
  - gomod: ${CORE}/confmap/provider/envprovider v${STABLE_VERSION}
  - gomod: ${CORE}/confmap/provider/fileprovider v${STABLE_VERSION}
`;

/** Where the Collector is, or will be once built. */
export function collectorPath(): string {
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
  const content = createHash('sha256').update(MANIFEST).digest('hex').slice(0, 12);
  return join(cache, 'finwait', `otelcol-${VERSION}-${content}`, 'otelcol');
}

async function build(): Promise<void> {
  const path = collectorPath();
  if (existsSync(path)) {
    say(`already built: ${path}`);
    return;
  }
  say(`building version ${VERSION} with Go, one to three minutes, once`);
  const folder = join(path, '..');
  mkdirSync(join(folder, '..'), { recursive: true });
  const work = mkdtempSync(`${folder}.building-`);
  try {
    const startedMs = Date.now();
    await run(work, 'go', ['install', `${CORE}/cmd/builder@v${VERSION}`], { GOBIN: work });
    say(`builder ready after ${secondsSince(startedMs)} s; compiling the Collector`);
    writeFileSync(join(work, 'manifest.yaml'), MANIFEST);
    await run(work, join(work, 'builder'), ['--config=manifest.yaml', '--ldflags=-s -w']);
    mkdirSync(folder, { recursive: true });
    // A rename is all or nothing: whoever else builds at the same time puts the same thing there.
    renameSync(join(work, 'out/otelcol'), path);
    say(`built in ${secondsSince(startedMs)} s: ${path}`);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Runs a program and shows what it says only when it fails. */
async function run(cwd: string, program: string, args: string[], env: NodeJS.ProcessEnv = {}): Promise<void> {
  const child = spawn(program, args, {
    cwd,
    env: { ...process.env, CGO_ENABLED: '0', GOFLAGS: '-buildvcs=false', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => {
      output += text;
    });
  }
  const startedMs = Date.now();
  const alive = setInterval(() => say(`still at it after ${secondsSince(startedMs)} s`), 20_000);
  try {
    const [code] = await once(child, 'close');
    if (code !== 0) throw new Error(`${program} ended with ${code}\n${output}`);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    throw new Error(`there is no program ${program}; install Go 1.25 or newer (apt-get install golang)`);
  } finally {
    clearInterval(alive);
  }
}

function secondsSince(startedMs: number): number {
  return Math.round((Date.now() - startedMs) / 1000);
}

function say(text: string): void {
  process.stderr.write(`collector: ${text}\n`);
}

if (import.meta.main) {
  const [command] = process.argv.slice(2);
  if (command === 'path') console.log(collectorPath());
  else if (command === 'build') await build();
  else {
    say('say build or path');
    process.exitCode = 2;
  }
}
