/** A measured time in microseconds with three digits that matter: `87 us`, `1.23 ms`, `45.6 ms`, `3.01 s`. */
export function latency(us: number): string {
  if (us < 999.5) return `${Math.round(us)} us`;
  if (us < 9_995) return `${(us / 1000).toFixed(2)} ms`;
  if (us < 99_950) return `${(us / 1000).toFixed(1)} ms`;
  if (us < 999_500) return `${Math.round(us / 1000)} ms`;
  return `${(us / 1e6).toFixed(us < 9_995_000 ? 2 : 1)} s`;
}
