import * as assert from 'uvu/assert';
import { FinwaitError } from '#base/errors.ts';
import { exportChoice } from '../../operator/telemetry/environment.ts';
import { spec } from '../harness.ts';

const ENDPOINT = 'http://collector:4318';

spec('telemetry: the OTEL_ variables', (test) => {
  test('without an endpoint ask for nothing', () => {
    assert.equal(exportChoice({}), { warnings: [] });
    assert.equal(exportChoice({ OTEL_TRACES_EXPORTER: 'otlp' }), { warnings: [] });
    assert.equal(exportChoice({ OTEL_EXPORTER_OTLP_ENDPOINT: ' ' }), { warnings: [] });
  });

  test('with an endpoint ask for both signals over http/protobuf', () => {
    const signal = { protocol: 'http/protobuf', endpoint: 'http://collector:4318/' };
    assert.equal(exportChoice({ OTEL_EXPORTER_OTLP_ENDPOINT: ENDPOINT }), {
      traces: signal,
      metrics: signal,
      warnings: [],
    });
  });

  test('of one signal go before those of all', () => {
    const choice = exportChoice({
      OTEL_EXPORTER_OTLP_ENDPOINT: ENDPOINT,
      OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
      OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'tempo:4317',
      OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: 'grpc',
    });
    assert.equal(choice.traces, { protocol: 'grpc', endpoint: 'tempo:4317' });
    assert.is(choice.metrics?.protocol, 'http/json');
    const alone = exportChoice({ OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: ENDPOINT });
    assert.is(alone.traces, undefined);
    assert.ok(alone.metrics);
  });

  test('can switch a signal off, or everything', () => {
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: ENDPOINT };
    const choice = exportChoice({ ...env, OTEL_TRACES_EXPORTER: 'none' });
    assert.is(choice.traces, undefined);
    assert.ok(choice.metrics);
    assert.equal(exportChoice({ ...env, OTEL_SDK_DISABLED: 'true' }), { warnings: [] });
  });

  test('that ask for what finwait has not are warned about', () => {
    const { traces, warnings } = exportChoice({
      OTEL_EXPORTER_OTLP_ENDPOINT: ENDPOINT,
      OTEL_EXPORTER_OTLP_PROTOCOL: 'http/xml',
      OTEL_METRICS_EXPORTER: 'prometheus',
    });
    assert.is(traces?.protocol, 'http/protobuf');
    assert.match(warnings.join('\n'), 'the OTLP protocol http/xml is not known');
    assert.match(warnings.join('\n'), 'OTEL_METRICS_EXPORTER names prometheus');
  });

  test('with an endpoint that is no URL stop the start, naming the variable', () => {
    try {
      exportChoice({ OTEL_EXPORTER_OTLP_ENDPOINT: 'localhost:4318' });
      assert.unreachable('it was accepted');
    } catch (error) {
      assert.ok(error instanceof FinwaitError);
      assert.is(error.code, 'CONFIG_INVALID');
      assert.match(error.message, 'OTEL_EXPORTER_OTLP_ENDPOINT is "localhost:4318"');
    }
  });

  test('keep secrets of the endpoint to themselves', () => {
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: 'https://me:secret@collector/otlp?key=secret' };
    assert.is(exportChoice(env).traces?.endpoint, 'https://collector/otlp');
  });
});
