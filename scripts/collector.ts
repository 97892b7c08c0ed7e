/**
 * `npm run collector -- build | path`: a real OpenTelemetry Collector for the tests, built from Go modules
 * into a cache folder outside the repository that is named after the versions. What is there is not built again.
 */

import { homedir } from 'node:os';
import { join } from 'node:path';

const VERSION = '0.155.0';

/** Where the Collector of the pinned version is, or will be once built. */
export function collectorPath(): string {
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
  return join(cache, 'finwait', `otelcol-${VERSION}-1`, 'otelcol');
}
