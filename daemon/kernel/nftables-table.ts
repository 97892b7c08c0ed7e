/**
 * finwait's own nftables table: `inet finwait`, or with a number for further runs. It is made by one socket and
 * dies with it, also after kill -9; older kernels (before 5.12) keep it, and the next start removes it.
 */

import { FinwaitError } from '#base/errors.ts';
import type { NftChainInfo, NftCommand, NftTable } from '../netlink/nftables.ts';
import {
  decodeChain,
  decodeTable,
  deleteTable,
  encodeBatch,
  encodeNftDump,
  NFPROTO,
  newTable,
} from '../netlink/nftables.ts';
import * as libc from './libc.ts';
import type { NetlinkCounters } from './netlink-socket.ts';
import { NetlinkError, NetlinkSocket, NoAnswer, netlinkFailed, noNetlinkFaults } from './netlink-socket.ts';

const NETLINK_NETFILTER = 12;
const TABLES_TRIED = 32;

/** A socket to nftables. Methods throw NetlinkError with what the kernel answered. */
export class Nftables implements Disposable {
  readonly #socket: NetlinkSocket;

  /** @param counters where it counts what the socket had to drop */
  constructor(counters: NetlinkCounters = noNetlinkFaults()) {
    this.#socket = NetlinkSocket.open(NETLINK_NETFILTER, counters);
  }

  /** Carries out all commands, or none. */
  change(commands: readonly NftCommand[], doing: string): void {
    const { datagram, seqs, acks } = encodeBatch(commands, () => this.#socket.nextSeq());
    this.#socket.batch(datagram, seqs, acks, doing);
  }

  tables(): NftTable[] {
    return this.#list((seq) => encodeNftDump('tables', seq), 'list the nftables tables', decodeTable);
  }

  /** The chains that stand in a hook. */
  baseChains(): NftChainInfo[] {
    const chains = this.#list((seq) => encodeNftDump('chains', seq), 'list the nftables chains', decodeChain);
    return chains.filter((chain) => chain !== undefined);
  }

  #list<T>(
    encode: (seq: number) => Uint8Array,
    doing: string,
    decode: (payload: Uint8Array) => { ok: true; value: T } | { ok: false },
  ): T[] {
    const found: T[] = [];
    this.#socket.request(encode, doing, (message) => {
      const item = decode(message.payload);
      if (item.ok) found.push(item.value);
      else this.#socket.counters.undecodable++;
    });
    return found;
  }

  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]();
  }
}

export interface OwnTable extends Disposable {
  readonly name: string;
  /** It goes with the process. */
  readonly owned: boolean;
  change(commands: readonly NftCommand[], doing: string): void;
}

export interface TableOptions {
  /** False makes the table as kernels before 5.12 do. */
  readonly owned?: boolean;
  /** Told the name before a table that outlives its socket is made. */
  readonly outlives: (name: string) => void;
  /** Where what its socket had to drop is counted. */
  readonly counters?: NetlinkCounters;
}

/**
 * Makes the table under the first free name.
 * @throws FinwaitError NFTABLES_UNAVAILABLE
 */
export function createOwnTable({ owned = true, outlives, counters }: TableOptions): OwnTable {
  using undo = new DisposableStack();
  try {
    const nftables = undo.use(new Nftables(counters));
    const made = makeTable(nftables, owned, outlives);
    undo.move();
    return {
      name: made.name,
      owned: made.owned,
      change: (commands, doing) => nftables.change(commands, doing),
      [Symbol.dispose]() {
        if (!made.owned) removeTable(nftables, made.name);
        nftables[Symbol.dispose]();
      },
    };
  } catch (error) {
    if (error instanceof NetlinkError) throw nftablesUnavailable(error);
    throw error;
  }
}

/** Removes a table of ours; one that is gone already is no fault. */
export function removeTable(nftables: Nftables, name: string): void {
  try {
    nftables.change([deleteTable(name)], `remove the nftables table ${name}`);
  } catch (error) {
    if (!(error instanceof NetlinkError && error.errno === libc.ENOENT)) throw error;
  }
}

export function nftablesUnavailable(error: NetlinkError): FinwaitError {
  if (error instanceof NoAnswer) return netlinkFailed(error);
  const hint =
    error.errno === libc.EPERM
      ? 'grant the capability NET_ADMIN over this network namespace'
      : 'load nf_tables with ct, nat and masquerade (modprobe nf_tables nft_ct nft_chain_nat nft_masq), or run without --footprint and --allow-forwarding';
  return new FinwaitError('NFTABLES_UNAVAILABLE', error.message, hint, error);
}

function makeTable(
  nftables: Nftables,
  owned: boolean,
  outlives: (name: string) => void,
): { name: string; owned: boolean } {
  for (let number = 0; number < TABLES_TRIED; number++) {
    const name = number === 0 ? 'finwait' : `finwait${number}`;
    if (exists(nftables, name)) continue;
    if (!owned) outlives(name);
    try {
      nftables.change([newTable(name, owned)], `make the nftables table ${name}`);
      return { name, owned };
    } catch (error) {
      if (!(error instanceof NetlinkError)) throw error;
      const tooOld = error.errno === libc.EOPNOTSUPP || error.errno === libc.EINVAL;
      if (owned && tooOld) return makeTable(nftables, false, outlives);
      // Another run may have been quicker; its table answers EEXIST or, where it has an owner, EPERM.
      if (!exists(nftables, name)) throw error;
    }
  }
  throw new FinwaitError(
    'NFTABLES_UNAVAILABLE',
    `the ${TABLES_TRIED} tables from inet finwait on all exist`,
    'stop other runs of finwait, or remove what they left: `nft delete table inet finwait`',
  );
}

function exists(nftables: Nftables, name: string): boolean {
  return nftables.tables().some((table) => table.family === NFPROTO.inet && table.name === name);
}
