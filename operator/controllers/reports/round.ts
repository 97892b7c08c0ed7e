/** One round of judging: what it would write, and the order in which that is done. */

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
