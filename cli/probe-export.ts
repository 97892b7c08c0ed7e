/** Hands one-shot probes to OpenTelemetry when the environment asks for it, and tells how it went. */

import { hostname } from 'node:os';
import { errorLines, FinwaitError } from '#base/errors.ts';
import { createLogger } from '#base/log.ts';
import type { ProbeResult } from '#contract';
import type { CliIo } from './io.ts';

/** A collector that is slow or dead delays the command by no more than that. */
const PATIENCE_MS = 2_000;

export interface ProbeExport {
  record(result: ProbeResult): void;
  /** Waits for what is under way, prints the ids of accepted traces, and one warning when some were not. */
  close(): Promise<void>;
}

export async function openProbeExport(io: CliIo): Promise<ProbeExport> {
  const wanted = Object.keys(io.env).some((name) => /^OTEL_EXPORTER_OTLP_(TRACES_)?ENDPOINT$/.test(name));
  if (!wanted) return { record: () => {}, close: async () => {} };
  const { createTelemetry } = await import('../operator/telemetry/telemetry.ts');
  const log = createLogger('probe', 'error', 'text', (line) => void io.stderr.write(`${line}\n`));
  const telemetry = await createTelemetry({ log, exportTimeoutMs: PATIENCE_MS, lingerMs: 0 });
  const accepted: string[] = [];
  const deliveries: Promise<void>[] = [];
  let lost = 0;
  return {
    record(result) {
      const delivery = telemetry.recordProbe(result, hostname()).then((delivered) => {
        if (delivered === 'accepted') accepted.push(result.id);
        if (delivered === 'lost') lost++;
      });
      deliveries.push(delivery);
    },
    async close() {
      await telemetry.shutdown(PATIENCE_MS);
      await Promise.all(deliveries);
      for (const id of accepted) io.stderr.write(`trace ${id}\n`);
      if (lost === 0) return;
      const [condition] = telemetry.conditions();
      const error = new FinwaitError(
        'COLLECTOR_UNREACHABLE',
        condition?.message ?? `the collector did not accept ${lost} of ${deliveries.length} traces`,
        'start the collector, or correct the OTEL_EXPORTER_OTLP_ variables, and probe again: these traces are lost',
      );
      io.stderr.write(`${errorLines(error).join('\n')}\n`);
    },
  };
}
