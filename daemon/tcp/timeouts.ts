/** A connection's clock: what is due at `nowUs`. RFC 9293 section 3.10.8 */

import type { Connection } from './connection.ts';
import type { Core } from './core.ts';

export function timePasses(core: Core, connection: Connection, nowUs: number): void {
  const { state } = connection;
  if (state.name !== 'SYN-SENT') state.receiver.advance(nowUs);
  if (state.name === 'TIME-WAIT') {
    if (state.expiresUs <= nowUs) core.end(connection, 'closed', nowUs);
    return;
  }
  const half = 'syn' in state ? state.syn : 'sender' in state ? state.sender : undefined;
  if (half === undefined) return;
  if (half.advance(nowUs) === 'give-up') return core.end(connection, 'timeout', nowUs);
  const repeats = 'syn' in state ? state.syn.repeats : 'sender' in state ? state.sender.expirations : 0;
  // RFC 9293 3.8.3: at R1, whoever chose the path is told (MUST-20a, SHLD-9).
  if (repeats >= core.profile.r1Retransmissions && !connection.warned) {
    connection.warned = true;
    core.tell({ kind: 'retransmission-warning', id: connection.id, atUs: nowUs });
  }
}
