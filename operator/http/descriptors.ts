/** How many connections each of the operator's servers may hold, so that none starves the other or the process. */

export interface ConnectionBudget {
  readonly ingest: number;
  readonly web: number;
}

/** For files, the collector, the API server, and what Node itself keeps open. */
const OWN = 128;
const MAX_INGEST = 10_000;
const MAX_WEB = 256;

/** Divides the process's descriptors (RLIMIT_NOFILE); health and metrics have a part of their own. */
export function connectionBudget(limit: number): ConnectionBudget {
  const own = Math.min(OWN, limit >> 1);
  const web = Math.min(MAX_WEB, Math.max(8, limit >> 4));
  return { web, ingest: Math.max(8, Math.min(MAX_INGEST, limit - own - web)) };
}
