/** One round of judging: what it would write, and the order in which that is done. */

/** After a change of leader the agents are given so long to find the new one before their silence is judged. */
export const GRACE_MS = 60_000;

export interface Write {
  /** Whose: `TCPReport web/deployment-shop`, for the log. */
  readonly what: string;
  /** Written before others: a judgement changed. */
  readonly urgent: boolean;
  /** @throws KubeError */
  run(): Promise<void>;
}

export function urgentFirst(writes: readonly Write[]): Write[] {
  return writes.toSorted((a, b) => Number(b.urgent) - Number(a.urgent));
}
