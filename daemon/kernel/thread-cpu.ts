/** Processor time of the calling thread. */

/** Since its start, milliseconds. getrusage(2), RUSAGE_THREAD */
export function threadCpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1_000;
}
