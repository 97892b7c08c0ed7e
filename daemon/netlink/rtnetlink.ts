/**
 * Routing netlink: links, addresses and routes as values <-> message payloads.
 * linux/rtnetlink.h, linux/if_link.h, linux/if_addr.h
 */

import type { Decoded } from '#base/result.ts';
import { decoded, undecodable } from '#base/result.ts';
import type { Attribute } from './message.ts';
import { concat, decodeAttributes, decodeCString, encodeAttribute, encodeNested, viewOf } from './message.ts';

export const RTM_NEWLINK = 16;
export const RTM_DELLINK = 17;
export const RTM_GETLINK = 18;
export const RTM_NEWADDR = 20;
export const RTM_DELADDR = 21;
export const RTM_GETADDR = 22;
export const RTM_NEWROUTE = 24;
export const RTM_DELROUTE = 25;
export const RTM_GETROUTE = 26;

export const AF_UNSPEC = 0;
export const AF_INET = 2;
export const AF_INET6 = 10;

const IFF_UP = 1;

const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_TXQLEN = 13;
const IFLA_STATS64 = 23;
const IFLA_AF_SPEC = 26;
const IFLA_INET_CONF = 1;
const IFLA_INET6_ADDR_GEN_MODE = 8;
const IN6_ADDR_GEN_MODE_NONE = 1;
/** Offsets in `struct rtnl_link_stats64`. */
const STATS64_RX_DROPPED = 6 * 8;
const STATS64_TX_DROPPED = 7 * 8;

const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_F_NODAD = 0x02;
const RT_SCOPE_UNIVERSE = 0;

const RTA_DST = 1;
const RTA_SRC = 2;
const RTA_IIF = 3;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_TABLE = 15;

/** `enum` of IPV4_DEVCONF_*, linux/ip.h: what `net.ipv4.conf.<device>` holds. */
const IPV4_DEVCONF = { forwarding: 1, route_localnet: 26 } as const;
export type Ipv4Devconf = keyof typeof IPV4_DEVCONF;

/** `rtm_type`. Types beyond the last are written as their number. */
const ROUTE_TYPES = [
  'unspec',
  'unicast',
  'local',
  'broadcast',
  'anycast',
  'multicast',
  'blackhole',
  'unreachable',
  'prohibit',
  'throw',
  'nat',
  'xresolve',
] as const;
export type RouteType = (typeof ROUTE_TYPES)[number];

export interface Link {
  readonly index: number;
  readonly name: string;
  readonly mtu: number;
  readonly up: boolean;
  /** Packets dropped at the device since it was made; 0 when the kernel does not say. */
  readonly rxDropped: number;
  readonly txDropped: number;
}

export interface Route {
  readonly family: 4 | 6;
  readonly type: RouteType;
  readonly table: number;
  /** Who made it: RTPROT_KERNEL 2, RTPROT_BOOT 3, RTPROT_STATIC 4, RTPROT_RA 9. */
  readonly protocol: number;
  /** 4 or 16 bytes; all zero for a default route. */
  readonly destination: Uint8Array;
  readonly prefixLength: number;
  /** Index of the device it leaves by, if it has one. */
  readonly oif: number | undefined;
  readonly gateway: Uint8Array | undefined;
}

/** A change of one link; what is left out stays as it is. */
export interface LinkChange {
  readonly index: number;
  readonly up?: boolean;
  readonly mtu?: number;
  /** Packets that wait for who reads the device. */
  readonly queueLength?: number;
  /** Values of `net.ipv4.conf.<device>`; the kernel takes them here also where /proc/sys is read-only. */
  readonly ipv4?: Partial<Record<Ipv4Devconf, number>>;
  /** Keeps the kernel from giving the device a link-local address. */
  readonly withoutLinkLocal?: boolean;
}

export interface RouteQuestion {
  readonly destination: Uint8Array;
  /** Ask as if a packet came in: from this source, by this device. */
  readonly arriving?: { readonly source: Uint8Array; readonly iif: number };
}

/** `struct ifinfomsg` and attributes, for RTM_NEWLINK and RTM_GETLINK. */
export function encodeLinkChange(change: LinkChange): Uint8Array {
  const attributes: Uint8Array[] = [];
  if (change.mtu !== undefined) attributes.push(encodeAttribute(IFLA_MTU, u32(change.mtu)));
  if (change.queueLength !== undefined) {
    attributes.push(encodeAttribute(IFLA_TXQLEN, u32(change.queueLength)));
  }
  const families: Uint8Array[] = [];
  if (change.ipv4 !== undefined) {
    const values = Object.entries(change.ipv4).map(([name, value]) =>
      encodeAttribute(IPV4_DEVCONF[name as Ipv4Devconf], u32(value)),
    );
    families.push(encodeNested(AF_INET, encodeNested(IFLA_INET_CONF, ...values)));
  }
  if (change.withoutLinkLocal) {
    const mode = encodeAttribute(IFLA_INET6_ADDR_GEN_MODE, Uint8Array.of(IN6_ADDR_GEN_MODE_NONE));
    families.push(encodeNested(AF_INET6, mode));
  }
  if (families.length > 0) attributes.push(encodeNested(IFLA_AF_SPEC, ...families));

  const header = new Uint8Array(16);
  const view = viewOf(header);
  view.setInt32(4, change.index, true);
  if (change.up !== undefined) {
    view.setUint32(8, change.up ? IFF_UP : 0, true);
    view.setUint32(12, IFF_UP, true);
  }
  return concat([header, ...attributes]);
}

/** `struct ifaddrmsg` and attributes, for RTM_NEWADDR and RTM_DELADDR: without duplicate address detection, which nobody answers. */
export function encodeAddress(index: number, address: Uint8Array, prefixLength: number): Uint8Array {
  const header = new Uint8Array(8);
  header.set([familyOf(address), prefixLength, IFA_F_NODAD, RT_SCOPE_UNIVERSE]);
  viewOf(header).setUint32(4, index, true);
  return concat([header, encodeAttribute(IFA_LOCAL, address), encodeAttribute(IFA_ADDRESS, address)]);
}

/** `struct rtmsg` and attributes, for RTM_GETROUTE: which way a packet goes. */
export function encodeRouteQuestion(question: RouteQuestion): Uint8Array {
  const { destination, arriving } = question;
  const header = new Uint8Array(12);
  header[0] = familyOf(destination);
  header[1] = destination.length * 8;
  const attributes = [encodeAttribute(RTA_DST, destination)];
  if (arriving !== undefined) {
    header[2] = arriving.source.length * 8;
    attributes.push(encodeAttribute(RTA_SRC, arriving.source), encodeAttribute(RTA_IIF, u32(arriving.iif)));
  }
  return concat([header, ...attributes]);
}

/** The payload that asks for all routes, all links, or all addresses, of a family in a dump. */
export function encodeDumpQuestion(family: number): Uint8Array {
  const header = new Uint8Array(16);
  header[0] = family;
  return header;
}

/** The payload of RTM_NEWLINK. */
export function decodeLink(payload: Uint8Array): Decoded<Link> {
  if (payload.length < 16) return undecodable('shorter than struct ifinfomsg');
  const attributes = decodeAttributes(payload, 16);
  if (!attributes.ok) return attributes;
  const name = find(attributes.value, IFLA_IFNAME);
  if (name === undefined) return undecodable('a link without a name');
  const stats = find(attributes.value, IFLA_STATS64);
  return decoded({
    index: viewOf(payload).getInt32(4, true),
    name: decodeCString(name),
    mtu: readU32(find(attributes.value, IFLA_MTU)) ?? 0,
    up: (viewOf(payload).getUint32(8, true) & IFF_UP) !== 0,
    rxDropped: readU64(stats, STATS64_RX_DROPPED),
    txDropped: readU64(stats, STATS64_TX_DROPPED),
  });
}

/** The payload of RTM_NEWADDR: the 4 or 16 bytes of an address of this end. */
export function decodeAddress(payload: Uint8Array): Decoded<Uint8Array> {
  if (payload.length < 8) return undecodable('shorter than struct ifaddrmsg');
  const attributes = decodeAttributes(payload, 8);
  if (!attributes.ok) return attributes;
  // Of a link from point to point IFA_ADDRESS is that of the other end.
  const address = find(attributes.value, IFA_LOCAL) ?? find(attributes.value, IFA_ADDRESS);
  if (address === undefined) return undecodable('an address without bytes');
  if (address.length !== 4 && address.length !== 16) return undecodable('neither IPv4 nor IPv6');
  return decoded(address.slice());
}

/** The payload of RTM_NEWROUTE. */
export function decodeRoute(payload: Uint8Array): Decoded<Route> {
  if (payload.length < 12) return undecodable('shorter than struct rtmsg');
  const family = payload[0] === AF_INET ? 4 : payload[0] === AF_INET6 ? 6 : undefined;
  if (family === undefined) return undecodable('neither IPv4 nor IPv6');
  const size = family === 4 ? 4 : 16;
  const prefixLength = payload[1] ?? 0;
  if (prefixLength > size * 8) return undecodable('a prefix longer than an address');
  const type = ROUTE_TYPES[payload[7] ?? 0];
  if (type === undefined) return undecodable(`unknown route type ${payload[7]}`);
  const attributes = decodeAttributes(payload, 12);
  if (!attributes.ok) return attributes;
  const destination = find(attributes.value, RTA_DST) ?? new Uint8Array(size);
  if (destination.length !== size) return undecodable('a destination of another size than its family');
  return decoded({
    family,
    type,
    table: readU32(find(attributes.value, RTA_TABLE)) ?? payload[4] ?? 0,
    protocol: payload[5] ?? 0,
    destination: destination.slice(),
    prefixLength,
    oif: readU32(find(attributes.value, RTA_OIF)),
    gateway: find(attributes.value, RTA_GATEWAY)?.slice(),
  });
}

function familyOf(address: Uint8Array): number {
  return address.length === 4 ? AF_INET : AF_INET6;
}

function find(attributes: readonly Attribute[], type: number): Uint8Array | undefined {
  return attributes.find((attribute) => attribute.type === type)?.payload;
}

function u32(value: number): Uint8Array {
  const out = new Uint8Array(4);
  viewOf(out).setUint32(0, value, true);
  return out;
}

function readU32(payload: Uint8Array | undefined): number | undefined {
  return payload === undefined || payload.length < 4 ? undefined : viewOf(payload).getUint32(0, true);
}

function readU64(payload: Uint8Array | undefined, at: number): number {
  return payload === undefined || payload.length < at + 8
    ? 0
    : Number(viewOf(payload).getBigUint64(at, true));
}
