/** What the parts of the engine share: counters, events, and how a connection changes its state or ends. */

import type { Connection } from './connection.ts';
import type { DropReason } from './counters.ts';
import type { ResetAnswer } from './listen.ts';
import type { Listener } from './listener.ts';
import type { Profile } from './profile.ts';
import type { State } from './states.ts';
import type { ConnectionId, EndReason, StackCounters, StackEvent } from './types.ts';

export interface Core {
  readonly profile: Profile;
  readonly counters: StackCounters;
  /** Somebody looks at `segment` events. */
  readonly tellsSegments: boolean;
  tell(event: StackEvent): void;
  drop(reason: DropReason): void;
  /** A passive open is complete: the connection waits at its listener. */
  wait(connection: Connection, listener: Listener, nowUs: number): void;
  /** Who listens by that id. */
  listenerOf(id: ConnectionId): Listener | undefined;
  /** Replaces the state record; a change of its name is told. */
  enter(connection: Connection, state: State, nowUs: number): void;
  /** The connection is gone; `reset` is its last word to the peer. */
  end(connection: Connection, reason: EndReason, nowUs: number, reset?: ResetAnswer): void;
}
