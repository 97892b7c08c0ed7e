/** `node test/conformance/run.ts [--socket PATH] [SCRIPT...]`: runs scripts against an adapter, its own or a given one. */

import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { makeTempDir } from '../support/temp-dir.ts';
import { AdapterClient, endAdapterProcess, startAdapterProcess } from './client.ts';
import { runScript, ScriptFailure } from './run-script.ts';
import { readScript, readScripts, variants } from './script-files.ts';

const { values, positionals } = parseArgs({
  options: { socket: { type: 'string' }, profile: { type: 'string', default: 'finwait' } },
  allowPositionals: true,
});
await using folder = await makeTempDir('conformance');
const path = values.socket ?? join(folder.path, 'adapter');
const child =
  values.socket === undefined ? await startAdapterProcess(path, ['--profile', values.profile]) : undefined;
const client = new AdapterClient(path);
const scripts = positionals.length > 0 ? positionals.map(readScript) : readScripts();
let failures = 0;
let passed = 0;
for (const script of scripts) {
  for (const { title, role, family } of variants(script)) {
    try {
      await runScript(client, script, role, family);
      passed += 1;
    } catch (error) {
      if (!(error instanceof ScriptFailure)) throw error;
      failures += 1;
      console.log(`FAIL ${title}\n  ${error.message.replaceAll('\n', '\n  ')}`);
    }
  }
}
client.close();
if (child !== undefined) await endAdapterProcess(child);
console.log(`${passed} passed, ${failures} failed`);
process.exitCode = failures > 0 ? 1 : 0;
