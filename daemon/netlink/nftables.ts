/**
 * nftables by netlink: tables, chains and rules as batch commands, and the tables and chains that exist as values.
 * Numbers in attributes are big-endian; what is compared or set in a register is as the kernel holds it.
 * linux/netfilter/nfnetlink.h, nf_tables.h
 */

import type { Decoded } from '#base/result.ts';
import { decoded, undecodable } from '#base/result.ts';
import type { Attribute } from './message.ts';
import {
  concat,
  cString,
  decodeAttributes,
  decodeCString,
  encodeAttribute,
  encodeMessage,
  encodeNested,
  NLM_F_ACK,
  NLM_F_APPEND,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_EXCL,
  NLM_F_REQUEST,
  viewOf,
} from './message.ts';

export const NFPROTO = { inet: 1, ipv4: 2, ipv6: 10 } as const;

/** `enum nf_inet_hooks` */
export const NF_INET_HOOK = { prerouting: 0, input: 1, forward: 2, output: 3, postrouting: 4 } as const;
export type NftHook = keyof typeof NF_INET_HOOK;

/** Where in a hook a chain stands. `mangle` is after conntrack has found the flow, before nat and filter. */
export const NF_PRIORITY = { mangle: -150, filter: 0, srcnat: 100 } as const;

const NFNL_SUBSYS_NFTABLES = 10;
const NFNL_MSG_BATCH_BEGIN = 16;
const NFNL_MSG_BATCH_END = 17;
const NFGENMSG_BYTES = 4;

const NFT_MSG_NEWTABLE = 0;
const NFT_MSG_GETTABLE = 1;
const NFT_MSG_DELTABLE = 2;
const NFT_MSG_NEWCHAIN = 3;
const NFT_MSG_GETCHAIN = 4;
const NFT_MSG_NEWRULE = 6;

const NFTA_TABLE_NAME = 1;
const NFTA_TABLE_FLAGS = 2;
const NFTA_TABLE_OWNER = 7;
const NFT_TABLE_F_OWNER = 0x2;

const NFTA_CHAIN_TABLE = 1;
const NFTA_CHAIN_NAME = 3;
const NFTA_CHAIN_HOOK = 4;
const NFTA_CHAIN_POLICY = 5;
const NFTA_CHAIN_TYPE = 7;
const NFTA_HOOK_HOOKNUM = 1;
const NFTA_HOOK_PRIORITY = 2;
const NF_DROP = 0;
const NF_ACCEPT = 1;

const NFTA_RULE_TABLE = 1;
const NFTA_RULE_CHAIN = 2;
const NFTA_RULE_EXPRESSIONS = 4;
const NFTA_LIST_ELEM = 1;
const NFTA_EXPR_NAME = 1;
const NFTA_EXPR_DATA = 2;
const NFTA_DATA_VALUE = 1;

/** The 16-byte register all our rules use. */
const NFT_REG_1 = 1;
const IFNAMSIZ = 16;

/** One change of a batch. */
export interface NftCommand {
  readonly type: number;
  readonly flags: number;
  readonly payload: Uint8Array;
}

/** A part of a rule, encoded: a match or a statement. */
export type NftExpression = Uint8Array;

export interface NftBatch {
  readonly datagram: Uint8Array;
  readonly seqs: readonly number[];
  /** The sequence numbers that are acknowledged one by one. */
  readonly acks: readonly number[];
}

export interface NftBaseChain {
  readonly name: string;
  readonly type: 'filter' | 'nat';
  readonly hook: NftHook;
  readonly priority: number;
}

export interface NftTable {
  readonly family: number;
  readonly name: string;
  /** Netlink port of the socket the table lives and dies with; undefined when it has none. */
  readonly owner: number | undefined;
}

/** A chain that stands in a hook. */
export interface NftChainInfo {
  readonly family: number;
  readonly table: string;
  readonly name: string;
  readonly type: string;
  readonly hook: number;
  readonly policy: 'accept' | 'drop';
}

/** All commands take effect together or not at all. @param nextSeq gives each message its sequence number */
export function encodeBatch(commands: readonly NftCommand[], nextSeq: () => number): NftBatch {
  const seqs: number[] = [];
  const acks: number[] = [];
  const message = (type: number, flags: number, payload: Uint8Array) => {
    const seq = nextSeq();
    seqs.push(seq);
    if ((flags & NLM_F_ACK) !== 0) acks.push(seq);
    return encodeMessage(type, NLM_F_REQUEST | flags, seq, payload);
  };
  const edge = nfgenmsg(0, NFNL_SUBSYS_NFTABLES);
  const datagram = concat([
    message(NFNL_MSG_BATCH_BEGIN, 0, edge),
    ...commands.map(({ type, flags, payload }) => message(nftType(type), flags | NLM_F_ACK, payload)),
    message(NFNL_MSG_BATCH_END, 0, edge),
  ]);
  return { datagram, seqs, acks };
}

/**
 * A table that must not exist yet.
 * @param owned it goes when the socket that sends this is closed, however that comes about (Linux 5.12)
 */
export function newTable(name: string, owned: boolean): NftCommand {
  const flags = owned ? [encodeAttribute(NFTA_TABLE_FLAGS, be32(NFT_TABLE_F_OWNER))] : [];
  return command(NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_EXCL, [
    encodeAttribute(NFTA_TABLE_NAME, cString(name)),
    ...flags,
  ]);
}

export function deleteTable(name: string): NftCommand {
  return command(NFT_MSG_DELTABLE, 0, [encodeAttribute(NFTA_TABLE_NAME, cString(name))]);
}

/** A chain in a hook; what no rule decides is accepted. */
export function newBaseChain(table: string, chain: NftBaseChain): NftCommand {
  return command(NFT_MSG_NEWCHAIN, NLM_F_CREATE | NLM_F_EXCL, [
    encodeAttribute(NFTA_CHAIN_TABLE, cString(table)),
    encodeAttribute(NFTA_CHAIN_NAME, cString(chain.name)),
    encodeNested(
      NFTA_CHAIN_HOOK,
      encodeAttribute(NFTA_HOOK_HOOKNUM, be32(NF_INET_HOOK[chain.hook])),
      encodeAttribute(NFTA_HOOK_PRIORITY, be32(chain.priority)),
    ),
    encodeAttribute(NFTA_CHAIN_POLICY, be32(NF_ACCEPT)),
    encodeAttribute(NFTA_CHAIN_TYPE, cString(chain.type)),
  ]);
}

/** A rule at the end of a chain. */
export function newRule(table: string, chain: string, expressions: readonly NftExpression[]): NftCommand {
  return command(NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, [
    encodeAttribute(NFTA_RULE_TABLE, cString(table)),
    encodeAttribute(NFTA_RULE_CHAIN, cString(chain)),
    encodeNested(NFTA_RULE_EXPRESSIONS, ...expressions),
  ]);
}

// Expressions. Each match is two: load into the register, compare.

/** `iifname "NAME"` or `oifname "NAME"`, or with `!=` */
export function matchDevice(which: 'iifname' | 'oifname', equal: boolean, name: string): NftExpression[] {
  const padded = new Uint8Array(IFNAMSIZ);
  padded.set(new TextEncoder().encode(name).subarray(0, IFNAMSIZ - 1));
  return [loadMeta(which === 'iifname' ? META_IIFNAME : META_OIFNAME), compare(equal, padded)];
}

/** `ip saddr ADDRESS` or `ip6 saddr ADDRESS`, by the address's length. */
export function matchSource(address: Uint8Array): NftExpression[] {
  const v4 = address.length === 4;
  const family = Uint8Array.of(v4 ? NFPROTO.ipv4 : NFPROTO.ipv6);
  // Where the source address lies: struct iphdr, struct ipv6hdr.
  const source = expression('payload', [
    encodeAttribute(1, be32(NFT_REG_1)),
    encodeAttribute(2, be32(PAYLOAD_NETWORK_HEADER)),
    encodeAttribute(3, be32(v4 ? 12 : 8)),
    encodeAttribute(4, be32(address.length)),
  ]);
  return [loadMeta(META_NFPROTO), compare(true, family), source, compare(true, address)];
}

/** `ct mark set MARK`: of the packet's flow. Switches conntrack on for the network namespace. */
export function setCtMark(mark: number): NftExpression[] {
  const value = new Uint8Array(4);
  viewOf(value).setUint32(0, mark, true);
  return [
    expression('immediate', [
      encodeAttribute(1, be32(NFT_REG_1)),
      encodeNested(2, encodeAttribute(NFTA_DATA_VALUE, value)),
    ]),
    expression('ct', [encodeAttribute(2, be32(CT_MARK)), encodeAttribute(4, be32(NFT_REG_1))]),
  ];
}

/** `masquerade` */
export function masquerade(): NftExpression[] {
  return [expression('masq', [])];
}

const META_IIFNAME = 6;
const META_OIFNAME = 7;
const META_NFPROTO = 15;
const CT_MARK = 3;
const PAYLOAD_NETWORK_HEADER = 1;
const CMP_EQ = 0;
const CMP_NEQ = 1;

function loadMeta(key: number): NftExpression {
  return expression('meta', [encodeAttribute(1, be32(NFT_REG_1)), encodeAttribute(2, be32(key))]);
}

function compare(equal: boolean, value: Uint8Array): NftExpression {
  return expression('cmp', [
    encodeAttribute(1, be32(NFT_REG_1)),
    encodeAttribute(2, be32(equal ? CMP_EQ : CMP_NEQ)),
    encodeNested(3, encodeAttribute(NFTA_DATA_VALUE, value)),
  ]);
}

function expression(name: string, attributes: readonly Uint8Array[]): NftExpression {
  return encodeNested(
    NFTA_LIST_ELEM,
    encodeAttribute(NFTA_EXPR_NAME, cString(name)),
    encodeNested(NFTA_EXPR_DATA, ...attributes),
  );
}

// What there is

/** Asks for all tables or all chains of all families. */
export function encodeNftDump(what: 'tables' | 'chains', seq: number): Uint8Array {
  const type = nftType(what === 'tables' ? NFT_MSG_GETTABLE : NFT_MSG_GETCHAIN);
  return encodeMessage(type, NLM_F_REQUEST | NLM_F_DUMP, seq, nfgenmsg(0, 0));
}

/** The payload of NFT_MSG_NEWTABLE. */
export function decodeTable(payload: Uint8Array): Decoded<NftTable> {
  const attributes = decodeAttributes(payload, NFGENMSG_BYTES);
  if (!attributes.ok) return attributes;
  const name = find(attributes.value, NFTA_TABLE_NAME);
  if (name === undefined) return undecodable('a table without a name');
  const owner = readBe32(find(attributes.value, NFTA_TABLE_OWNER));
  return decoded({ family: payload[0] ?? 0, name: decodeCString(name), owner });
}

/** The payload of NFT_MSG_NEWCHAIN; undefined for a chain that stands in no hook. */
export function decodeChain(payload: Uint8Array): Decoded<NftChainInfo | undefined> {
  const attributes = decodeAttributes(payload, NFGENMSG_BYTES);
  if (!attributes.ok) return attributes;
  const hook = find(attributes.value, NFTA_CHAIN_HOOK);
  if (hook === undefined) return decoded(undefined);
  const inHook = decodeAttributes(hook);
  if (!inHook.ok) return inHook;
  const number = readBe32(find(inHook.value, NFTA_HOOK_HOOKNUM));
  const table = find(attributes.value, NFTA_CHAIN_TABLE);
  const name = find(attributes.value, NFTA_CHAIN_NAME);
  const type = find(attributes.value, NFTA_CHAIN_TYPE);
  if (number === undefined || !table || !name || !type) return undecodable('a base chain without its names');
  return decoded({
    family: payload[0] ?? 0,
    table: decodeCString(table),
    name: decodeCString(name),
    type: decodeCString(type),
    hook: number,
    policy: readBe32(find(attributes.value, NFTA_CHAIN_POLICY)) === NF_DROP ? 'drop' : 'accept',
  });
}

function command(type: number, flags: number, attributes: readonly Uint8Array[]): NftCommand {
  return { type, flags, payload: concat([nfgenmsg(NFPROTO.inet, 0), ...attributes]) };
}

function nftType(message: number): number {
  return (NFNL_SUBSYS_NFTABLES << 8) | message;
}

/** `struct nfgenmsg` */
function nfgenmsg(family: number, resource: number): Uint8Array {
  return Uint8Array.of(family, 0, resource >> 8, resource & 0xff);
}

function find(attributes: readonly Attribute[], type: number): Uint8Array | undefined {
  return attributes.find((attribute) => attribute.type === type)?.payload;
}

function be32(value: number): Uint8Array {
  const out = new Uint8Array(4);
  viewOf(out).setInt32(0, value);
  return out;
}

function readBe32(payload: Uint8Array | undefined): number | undefined {
  return payload === undefined || payload.length < 4 ? undefined : viewOf(payload).getUint32(0);
}
