import { registerHooks } from 'node:module';
import * as assert from 'uvu/assert';
import { spec } from '../harness.ts';
import { sampleProbe } from '../support/report.ts';

spec('telemetry: without an OTLP endpoint', (test) => {
  test('nothing of OpenTelemetry or of certificate making is loaded, nothing is sent, nothing complains', async () => {
    const loaded: string[] = [];
    const hooks = registerHooks({
      resolve(specifier, context, nextResolve) {
        loaded.push(specifier);
        return nextResolve(specifier, context);
      },
    });
    for (const name of Object.keys(process.env)) if (name.startsWith('OTEL_')) delete process.env[name];
    await import('../../operator/main.ts');
    const { createTelemetry } = await import('../../operator/telemetry/telemetry.ts');
    hooks.deregister();
    const lines: unknown[] = [];
    const telemetry = await createTelemetry({ log: { log: (...line) => lines.push(line) }, nodes: () => [] });
    assert.is(await telemetry.recordProbe(sampleProbe(), 'ferry'), 'off');
    assert.is(telemetry.view().traces, 'off');
    assert.equal(telemetry.conditions(), []);
    await telemetry.shutdown();
    assert.equal(lines, []);
    assert.ok(loaded.includes('express'), 'the hook sees what is loaded');
    assert.equal(
      loaded.filter((name) => /^@(opentelemetry|peculiar)/.test(name)),
      [],
    );
  });
});
