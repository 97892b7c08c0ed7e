/** Links, addresses and routes of this network namespace, asked for and set by rtnetlink. */

import {
  encodeMessage,
  NLM_F_ACK,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_EXCL,
  NLM_F_REQUEST,
} from '../netlink/message.ts';
import type { Link, LinkChange, Route, RouteQuestion } from '../netlink/rtnetlink.ts';
import {
  AF_UNSPEC,
  decodeAddress,
  decodeLink,
  decodeRoute,
  encodeAddress,
  encodeDumpQuestion,
  encodeLinkChange,
  encodeRouteQuestion,
  RTM_DELADDR,
  RTM_GETADDR,
  RTM_GETLINK,
  RTM_GETROUTE,
  RTM_NEWADDR,
  RTM_NEWLINK,
  RTM_NEWROUTE,
} from '../netlink/rtnetlink.ts';
import * as libc from './libc.ts';
import type { NetlinkCounters } from './netlink-socket.ts';
import { NetlinkError, NetlinkSocket, NoAnswer, noNetlinkFaults } from './netlink-socket.ts';

const NETLINK_ROUTE = 0;
/** A request whose answer got lost is made again, on another socket, so often. */
const ATTEMPTS = 3;

/** The kernel's answers that say something about the way: net/ipv4/fib_semantics.c, net/ipv6/route.c */
const ROUTE_ERRNOS: ReadonlySet<number> = new Set([
  libc.ENETUNREACH,
  libc.EHOSTUNREACH,
  libc.EACCES,
  libc.EINVAL,
  libc.EXDEV,
]);

export type RouteAnswer =
  | { readonly ok: true; readonly route: Route }
  /** What the kernel would tell a socket: ENETUNREACH, EHOSTUNREACH, EACCES, EINVAL, EXDEV (reverse path). */
  | { readonly ok: false; readonly errno: number };

/** A socket to the kernel's routing. Every method throws NetlinkError: what the kernel answered, or NoAnswer. */
export class Routing implements Disposable {
  /** What the sockets so far had to drop, and answers that got lost. */
  readonly counters: NetlinkCounters = noNetlinkFaults();
  #socket = NetlinkSocket.open(NETLINK_ROUTE, this.counters);

  links(): Link[] {
    const links: Link[] = [];
    this.#dump(RTM_GETLINK, RTM_NEWLINK, 'list the links', (payload) => {
      const link = decodeLink(payload);
      if (link.ok) links.push(link.value);
      else this.counters.undecodable++;
    });
    return links;
  }

  /** @returns undefined when there is no such link any more */
  link(index: number): Link | undefined {
    let found: Link | undefined;
    try {
      this.#ask(RTM_GETLINK, encodeLinkChange({ index }), `read link ${index}`, (payload) => {
        const link = decodeLink(payload);
        if (link.ok) found = link.value;
      });
    } catch (error) {
      if (!(error instanceof NetlinkError && error.errno === libc.ENODEV)) throw error;
    }
    return found;
  }

  changeLink(change: LinkChange, doing: string): void {
    this.#ask(RTM_NEWLINK, encodeLinkChange(change), doing);
  }

  addAddress(index: number, address: Uint8Array, prefixLength: number, doing: string): void {
    this.#ask(
      RTM_NEWADDR,
      encodeAddress(index, address, prefixLength),
      doing,
      undefined,
      NLM_F_CREATE | NLM_F_EXCL,
    );
  }

  /** Those of all links, also of links that are down; as 4 or 16 bytes. */
  addresses(): Uint8Array[] {
    const addresses: Uint8Array[] = [];
    this.#dump(RTM_GETADDR, RTM_NEWADDR, 'list the addresses', (payload) => {
      const address = decodeAddress(payload);
      if (address.ok) addresses.push(address.value);
      else this.counters.undecodable++;
    });
    return addresses;
  }

  /** An address that the link does not have is no fault. */
  removeAddress(index: number, address: Uint8Array, prefixLength: number, doing: string): void {
    try {
      this.#ask(RTM_DELADDR, encodeAddress(index, address, prefixLength), doing);
    } catch (error) {
      if (!(error instanceof NetlinkError && error.errno === libc.EADDRNOTAVAIL)) throw error;
    }
  }

  /** Those routes of all tables and both families that are to be kept: a router may have a million. */
  routes(keep: (route: Route) => boolean): Route[] {
    const routes: Route[] = [];
    this.#dump(RTM_GETROUTE, RTM_NEWROUTE, 'list the routes', (payload) => {
      // Multicast routing (mfc) and unknown kinds are no concern of ours.
      const route = decodeRoute(payload);
      if (route.ok && keep(route.value)) routes.push(route.value);
    });
    return routes;
  }

  /** Which way the kernel sends a packet now. */
  lookUp(question: RouteQuestion): RouteAnswer {
    let route: Route | undefined;
    try {
      this.#ask(RTM_GETROUTE, encodeRouteQuestion(question), 'look up a route', (payload) => {
        const answer = decodeRoute(payload);
        if (answer.ok) route = answer.value;
      });
    } catch (error) {
      if (error instanceof NetlinkError && ROUTE_ERRNOS.has(error.errno))
        return { ok: false, errno: error.errno };
      throw error;
    }
    return route === undefined ? { ok: false, errno: libc.EINVAL } : { ok: true, route };
  }

  #ask(
    type: number,
    payload: Uint8Array,
    doing: string,
    onPayload: (payload: Uint8Array) => void = () => {},
    flags = 0,
  ): void {
    this.#retrying(() =>
      this.#socket.request(
        (seq) => encodeMessage(type, NLM_F_REQUEST | NLM_F_ACK | flags, seq, payload),
        doing,
        (message) => onPayload(message.payload),
      ),
    );
  }

  #dump(ask: number, answer: number, doing: string, onPayload: (payload: Uint8Array) => void): void {
    this.#socket.request(
      (seq) => encodeMessage(ask, NLM_F_REQUEST | NLM_F_DUMP, seq, encodeDumpQuestion(AF_UNSPEC)),
      doing,
      (message) => {
        if (message.type === answer) onPayload(message.payload);
      },
    );
  }

  /** Somebody may fill a socket's queue so that an answer finds no room; a new one has a port they do not know yet. */
  #retrying(request: () => void): void {
    for (let attempt = 1; ; attempt++) {
      try {
        request();
        return;
      } catch (error) {
        if (!(error instanceof NoAnswer) || attempt === ATTEMPTS) throw error;
        this.#socket[Symbol.dispose]();
        this.#socket = NetlinkSocket.open(NETLINK_ROUTE, this.counters);
      }
    }
  }

  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]();
  }
}
