/** A socket table that is fed by hand with what the kernel would tell in each sweep. */

import { ProcessTable } from '../../../daemon/track/processes.ts';
import type { TrackedSocket } from '../../../daemon/track/socket-table.ts';
import { SocketTable } from '../../../daemon/track/socket-table.ts';
import type { DiagFields } from './diag-message.ts';
import { diagMessage, show } from './diag-message.ts';
import type { FakeProc } from './fake-proc.ts';

export const LOCAL = '10.0.0.1:40000';
export const PEER = '10.0.0.2:443';

/** A table that is fed with the messages of each sweep. */
export function tableOf(proc: FakeProc, maxTracked = 1_000) {
  let messages: readonly Uint8Array[] = [];
  const table = new SocketTable({
    dump: (onSocket) => show(messages, onSocket),
    processes: new ProcessTable({ procRoot: proc.path }),
    maxTracked,
    ephemeralFrom: 32_768,
  });
  return {
    table,
    sweep(nowMs: number, ...rows: readonly (DiagFields | Uint8Array)[]): TrackedSocket[] {
      messages = rows.map((row) => (row instanceof Uint8Array ? row : diagMessage(row)));
      table.sweep(nowMs);
      // Copies: the table goes on changing its own.
      return Array.from(table.sockets(), (socket) => ({ ...socket }));
    },
  };
}

export function only(sockets: readonly TrackedSocket[]): TrackedSocket {
  const [socket] = sockets;
  if (socket === undefined || sockets.length > 1) throw new Error(`${sockets.length} sockets`);
  return socket;
}
