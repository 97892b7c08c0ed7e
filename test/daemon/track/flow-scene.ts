/** A flow table that is told by messages as the kernel sends them. */

import * as assert from 'uvu/assert';
import type { ConntrackTcpState } from '../../../daemon/netlink/ctnetlink.ts';
import { CONNTRACK_TCP_STATES } from '../../../daemon/netlink/ctnetlink.ts';
import { FlowRecord } from '../../../daemon/netlink/flow-record.ts';
import { viewOf } from '../../../daemon/netlink/message.ts';
import { FLOW_END_REASONS, FlowEnds } from '../../../daemon/track/flow-ends.ts';
import { FlowTable } from '../../../daemon/track/flow-table.ts';
import { ipFromBytes } from '../../../daemon/wire/address.ts';
import { testSeed } from '../../harness.ts';
import type { FlowFields } from './flow-message.ts';
import { flowMessage } from './flow-message.ts';

export const OWN = 0x66696e77;
/** Unix time when the clock of the tests is 0. */
export const UNIX_OFFSET_MS = 1_700_000_000_000;
export const FLOW = { source: '10.0.0.1:40000', destination: '10.0.0.2:443', id: 1 } as const;
export type Said = FlowFields & { readonly state: ConntrackTcpState };

export function tableOf({ maxFlows = 1_000, idleMs = null as number | null } = {}) {
  const ends = new FlowEnds();
  const idle = { ms: idleMs };
  const table = new FlowTable({
    maxFlows,
    seed: testSeed(),
    ownMark: OWN,
    ends,
    idleClock: () => {
      const { ms } = idle;
      return () => ms;
    },
    unixOffsetMs: () => UNIX_OFFSET_MS,
  });
  const record = new FlowRecord();
  const read = (fields: FlowFields) => {
    const payload = flowMessage(fields);
    assert.is(record.read(viewOf(payload), 0, payload.length), undefined);
    return viewOf(payload);
  };
  const dumped = (fields: FlowFields, nowMs = 0) => table.dumped(read(fields), record, nowMs);
  return {
    table,
    ends,
    /** What the time left tells, as the kernel is set from now on. */
    idle,
    begun: (fields: Said, nowMs = 0) => table.begun(read(fields), record, nowMs),
    changed: (fields: FlowFields, nowMs = 0) => table.changed(read(fields), record, nowMs),
    ended: (fields: FlowFields, nowMs = 0) => table.ended(read(fields), record, nowMs),
    dumped,
    dump(nowMs: number, ...flows: readonly FlowFields[]) {
      table.beginDump(nowMs);
      for (const flow of flows) dumped(flow, nowMs);
      table.endDump(true);
    },
    rows: () => rowsOf(table),
    reasons: () =>
      Object.fromEntries(
        FLOW_END_REASONS.map((reason, at) => [reason, ends.reasons[at] ?? 0] as const).filter(
          ([, count]) => count > 0,
        ),
      ),
    states: (nowMs: number) =>
      Object.fromEntries(
        [...table.summary(nowMs).states].map(([state, { count, oldestMs }]) => [
          state,
          `${count} ${oldestMs}`,
        ]),
      ),
  };
}

export function rowsOf(table: FlowTable): string[] {
  const rows: string[] = [];
  table.forEachFlow((row) => {
    const end = (bytes: Uint8Array, port: number) => `${ipFromBytes(bytes).text} ${port}`;
    rows.push(
      [
        end(row.source, row.sourcePort),
        end(row.destination, row.destinationPort),
        row.zone,
        CONNTRACK_TCP_STATES[row.state],
      ].join(' '),
    );
  });
  return rows.sort();
}
