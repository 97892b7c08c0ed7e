import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { spec } from '../harness.ts';
import { AdapterClient, endAdapterProcess, startAdapterProcess } from './client.ts';
import { runScript } from './run-script.ts';
import { readScripts, variants } from './script-files.ts';

spec('packet-trace scripts against the adapter', (test) => {
  const folder = mkdtempSync(join(tmpdir(), 'finwait-test-scripts-'));
  const path = join(folder, 'adapter');
  const client = new AdapterClient(path);
  let adapter: ChildProcess | undefined;

  // One adapter for all: each script begins in a world of its own.
  test.before(async () => {
    adapter = await startAdapterProcess(path);
  });
  test.after(async () => {
    client.close();
    if (adapter !== undefined) await endAdapterProcess(adapter);
    rmSync(folder, { recursive: true });
  });

  for (const script of readScripts()) {
    for (const { title, role, family } of variants(script)) {
      test(title, () => runScript(client, script, role, family));
    }
  }
});
