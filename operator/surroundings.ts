/**
 * What is different about an operator on one machine and an operator in a cluster: who vouches for agents, who
 * takes their reports, where the certificate is from, and what is to be probed.
 */

import type { Condition } from '#base/errors.ts';
import type { ProbeTarget, Report } from '#contract';
import type { LeadershipView } from './fleet/view.ts';
import type { Authenticator } from './ingest/authenticator.ts';
import type { TlsSource } from './tls/renewal.ts';

export interface Surroundings {
  readonly tls: TlsSource;
  readonly authenticate: Authenticator;
  /** Who takes reports; absent where there is but one operator. */
  readonly leadership?: () => LeadershipView;
  /** UUID of the run, or the term as leader, that acknowledges reports (`Acknowledgement.instance`). */
  instance(): string;
  /** Undefined while it is not known. */
  assignmentOf(node: string): readonly ProbeTarget[] | undefined;
  /** Called with each report that is new. */
  onReport(node: string, report: Report): void;
  conditions(): readonly Condition[];
  counters(): Readonly<Record<string, number>>;
  /** Objects of the API server that are held in memory, by plural. */
  sizes(): Readonly<Record<string, number>>;
  /** @param ingestPort where the ingest server listens */
  start(ingestPort: number): void;
  /** Ends what was started, last writes included. */
  stop(): Promise<void>;
}
