/** A connection's clock: what is due at `nowUs`. RFC 9293 section 3.10.8 */

import { abortReset } from './calls.ts';
import type { Connection } from './connection.ts';
import type { Core } from './core.ts';
import { hasSender, type SendingState } from './states.ts';

export function timePasses(core: Core, connection: Connection, nowUs: number): void {
  const { state } = connection;
  if (state.name !== 'SYN-SENT') state.receiver.acks.advance(nowUs);
  if (state.name === 'TIME-WAIT' || state.name === 'FIN-WAIT-2') {
    if (state.expiresUs <= nowUs) core.end(connection, 'closed', nowUs);
    else if (state.name === 'FIN-WAIT-2') keepAlive(core, connection, true, nowUs);
    return;
  }
  const half = hasSender(state) ? state.sender : state.syn;
  if (half.advance(nowUs) === 'give-up') {
    // A peer that may be there is told, so that it holds nothing for nobody.
    const reset = hasSender(state) && core.profile.name === 'freebsd' ? abortReset(connection) : undefined;
    return core.end(connection, 'timeout', nowUs, reset);
  }
  if (hasSender(state) && isHeldForNobody(core, connection, state)) {
    return core.end(connection, 'timeout', nowUs, abortReset(connection));
  }
  const repeats = hasSender(state) ? state.sender.timer.expirations : state.syn.timeouts;
  // RFC 9293 3.8.3: at R1, whoever chose the path is told (MUST-20a, SHLD-9).
  if (repeats >= core.profile.r1Retransmissions && !connection.warned) {
    connection.warned = true;
    core.tell({ kind: 'retransmission-warning', id: connection.id, atUs: nowUs });
  }
  if (!hasSender(state)) return;
  keepAlive(core, connection, state.sender.idle, nowUs);
}

/**
 * The user has closed, and the peer answers every probe of its shut window: for a user the connection would stay
 * (MUST-37), but a stranger must not hold ours for ever. RFC 6429 section 4, Linux tcp_orphan_retries
 */
function isHeldForNobody(core: Core, { readerGone }: Connection, { sender }: SendingState): boolean {
  const { timer, window, rtt } = sender;
  return readerGone && timer.persists && window.octets === 0 && rtt.rtoUs >= core.profile.maxRtoUs;
}

function keepAlive(core: Core, connection: Connection, idle: boolean, nowUs: number): void {
  if (connection.keepAlive.advance(idle, nowUs) !== 'give-up') return;
  // RFC 9293 3.8.4 leaves it open; Linux and FreeBSD send a RST.
  core.end(connection, 'timeout', nowUs, abortReset(connection));
}
