/** The rules in finwait's nftables table: the mark on the engine's flows, and masquerading of what is forwarded. */

import type { Condition } from '#base/errors.ts';
import { conditionOf } from '#base/errors.ts';
import type { NftCommand } from '../netlink/nftables.ts';
import {
  masquerade,
  matchDevice,
  matchSource,
  NF_PRIORITY,
  newBaseChain,
  newRule,
  setCtMark,
} from '../netlink/nftables.ts';
import type { HostLink } from './host-link.ts';
import type { NetlinkCounters } from './netlink-socket.ts';
import { NetlinkError } from './netlink-socket.ts';
import type { OwnTable } from './nftables-table.ts';
import { createOwnTable, nftablesUnavailable } from './nftables-table.ts';

export interface HostTableParts {
  readonly device: string;
  readonly link: HostLink;
  /** False makes the table as kernels before 5.12 do: it outlives its socket. */
  readonly owned?: boolean;
  /** Told the name before a table that outlives its socket is made. */
  readonly outlives: (name: string) => void;
  /** Where what its socket had to drop is counted. */
  readonly counters?: NetlinkCounters;
}

/** Makes the table when the first rule needs it; without rules there is none. */
export interface HostTable extends Disposable {
  /** Marks the flows of the engine. @returns why it is not so */
  mark(mark: number): Condition | undefined;
  /** Masquerades what leaves by other devices. Does nothing the second time. @returns why it is not so */
  masquerade(): Condition | undefined;
  /** Leaves the table to go with the process: disposing takes it away only where it would outlive that. */
  leave(): void;
}

export function openHostTable(parts: HostTableParts): HostTable {
  let table: OwnTable | undefined;
  let masqueraded = false;
  let left = false;

  const add = (doing: string, commands: (table: string) => NftCommand[]): Condition | undefined => {
    try {
      table ??= createOwnTable(parts);
      table.change(commands(table.name), doing);
      return undefined;
    } catch (error) {
      return conditionOf(error instanceof NetlinkError ? nftablesUnavailable(error) : error);
    }
  };
  return {
    mark: (mark) => add("mark the engine's flows", (name) => markCommands(name, mark, parts)),
    masquerade() {
      if (masqueraded) return undefined;
      const condition = add('masquerade what is forwarded', (name) => masqueradeCommands(name, parts));
      masqueraded = condition === undefined;
      return condition;
    },
    leave() {
      left = true;
    },
    [Symbol.dispose]() {
      if (!left || table?.owned === false) table?.[Symbol.dispose]();
    },
  };
}

/**
 * In prerouting, because every packet of the engine passes it, whether it is for this machine or to be forwarded;
 * right after conntrack has made the flow, so that already the event of a new flow carries the mark. The answers
 * belong to the same flow. Packets to ::1 come in by lo, and are known by their source.
 */
function markCommands(table: string, mark: number, { device, link }: HostTableParts): NftCommand[] {
  const chain = 'footprint';
  const commands = [
    newBaseChain(table, { name: chain, type: 'filter', hook: 'prerouting', priority: NF_PRIORITY.mangle }),
    newRule(table, chain, [...matchDevice('iifname', true, device), ...setCtMark(mark)]),
  ];
  if (link.v6 !== undefined) {
    const fromLo = matchDevice('iifname', true, 'lo');
    commands.push(
      newRule(table, chain, [...fromLo, ...matchSource(link.v6.engine.bytes), ...setCtMark(mark)]),
    );
  }
  return commands;
}

/** Not on lo, where the engine's packets to ::1 pass: their target sees the engine, as all on this machine do. */
function masqueradeCommands(table: string, { device, link }: HostTableParts): NftCommand[] {
  const chain = 'masquerade';
  const elsewhere = [...matchDevice('oifname', false, device), ...matchDevice('oifname', false, 'lo')];
  return [
    newBaseChain(table, { name: chain, type: 'nat', hook: 'postrouting', priority: NF_PRIORITY.srcnat }),
    ...[link.v4, link.v6]
      .filter((prefix) => prefix !== undefined)
      .map((prefix) =>
        newRule(table, chain, [...elsewhere, ...matchSource(prefix.engine.bytes), ...masquerade()]),
      ),
  ];
}
