/** What a worker thread may take, so that the agent stays small on a node full of pods. */

/** A worker's garbage is of one sweep or one packet: room for more of it only makes the process larger. */
export const WORKER_LIMITS = { maxYoungGenerationSizeMb: 2 } as const;
