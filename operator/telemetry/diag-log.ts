/** OpenTelemetry's own log lines, in ours. */

import { DiagLogLevel, diag } from '@opentelemetry/api';
import type { Logger } from '#base/log.ts';

const REPEATED_MS = 60_000;

/** Warnings and worse, all of it with OTEL_LOG_LEVEL=debug; the same line at most once a minute. */
export function logDiagnosticsTo(log: Logger): void {
  const debug = /^(debug|verbose|all)$/i.test(process.env.OTEL_LOG_LEVEL ?? '');
  diag.setLogger(diagTo(log), {
    logLevel: debug ? DiagLogLevel.DEBUG : DiagLogLevel.WARN,
    suppressOverrideMessage: true,
  });
}

function diagTo(log: Logger) {
  const toldAtMs = new Map<string, number>();
  const at = (level: 'debug' | 'warn') => (message: string) => {
    const nowMs = Date.now();
    if (nowMs - (toldAtMs.get(message) ?? 0) < REPEATED_MS) return;
    if (toldAtMs.size > 100) toldAtMs.clear();
    toldAtMs.set(message, nowMs);
    log.log(level, `OpenTelemetry: ${message}`);
  };
  return {
    error: at('warn'),
    warn: at('warn'),
    info: at('debug'),
    debug: at('debug'),
    verbose: at('debug'),
  };
}
