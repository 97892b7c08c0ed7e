/** OPEN, active and passive: makes connections. RFC 9293 sections 3.9.1.1, 3.10.1 and 3.10.7.2 */

import { addressKind, type IpAddress, sameAddress } from '../wire/address.ts';
import { type Seq, seqAdd, seqLt } from '../wire/seq.ts';
import { announcedMss } from './agreement.ts';
import { ByteRing } from './byte-ring.ts';
import { accepted, refused } from './calls.ts';
import { type Connection, createConnection } from './connection.ts';
import { receivedSyn } from './establish.ts';
import { createIsnSource } from './isn.ts';
import type { Listener } from './listener.ts';
import { createPortSource } from './ports.ts';
import type { Registry } from './registry.ts';
import { type Segment, viewOf } from './segment.ts';
import { SynSender } from './syn-sender.ts';
import type { ConnectionId, ConnectOptions, EngineResult, SocketAddress, StackOptions } from './types.ts';

const MAX_CONNECTIONS = 65_536;

export class Opener {
  readonly #registry: Registry;
  readonly #options: StackOptions;
  readonly #isnOf: ReturnType<typeof createIsnSource>;
  readonly #portFor: ReturnType<typeof createPortSource>;

  constructor(registry: Registry, options: StackOptions) {
    this.#registry = registry;
    this.#options = options;
    this.#isnOf = createIsnSource(options.random);
    this.#portFor = createPortSource(options.random);
  }

  /** Active OPEN: SYN-SENT. */
  active(options: ConnectOptions, nowUs: number): EngineResult<ConnectionId> {
    const registry = this.#registry;
    const { remote } = options;
    const { family } = remote.address;
    const local = this.#localAddress(options);
    if (local === undefined) {
      const known = this.#options.addresses.some((address) => address.family === family);
      return refused(known ? 'address-not-available' : 'address-family-unsupported');
    }
    if (!this.#isValidRemote(remote)) return refused('invalid-remote');
    if (this.#isFull()) return refused('too-many-connections');
    const localIndex = this.#options.addresses.indexOf(local);
    const isFree = (port: number) => registry.byTuple.findTuple(localIndex, port, remote) === undefined;
    const asked = options.local?.port;
    if (asked !== undefined && (!Number.isInteger(asked) || asked < 1 || asked > 65_535)) {
      return refused('address-not-available');
    }
    if (asked !== undefined && !isFree(asked)) return refused('connection-exists');
    const port = asked ?? this.#portFor(local, remote, isFree);
    if (port === undefined) return refused('no-ports-left');
    const localSocket = { address: local, port };
    const { iss, timestampOffset } = this.#isnOf(localSocket, remote, nowUs);
    const timeoutUs = options.userTimeoutUs ?? registry.profile.handshakeTimeoutUs;
    const syn = new SynSender(registry.profile, iss, timeoutUs);
    const early = new ByteRing(registry.profile.sendBufferBytes);
    const connection = this.#create(localSocket, remote, localIndex, timestampOffset, options, {
      name: 'SYN-SENT',
      syn,
      early,
    });
    registry.add(connection, 'CLOSED', nowUs);
    return accepted(connection.id);
  }

  /** A SYN for a listener: SYN-RECEIVED, if there is room. */
  passive(
    listener: Listener,
    segment: Segment,
    local: SocketAddress,
    remote: SocketAddress,
    localIndex: number,
    minimumIss: Seq | undefined,
    nowUs: number,
  ): void {
    const registry = this.#registry;
    // MUST-63: nobody on the other side of a link has a loopback address.
    if (addressKind(remote.address) === 'loopback') return registry.drop('bad-source');
    if (listener.halfOpen.size >= listener.backlog) return registry.drop('backlog-full');
    if (this.#isFull()) return registry.drop('too-many-connections');
    const { profile } = registry;
    const secrets = this.#isnOf(local, remote, nowUs);
    // RFC 9293 3.6.1 (MAY-2): beyond what the connection in TIME-WAIT used.
    const iss =
      minimumIss !== undefined && seqLt(secrets.iss, minimumIss) ? seqAdd(minimumIss, 1) : secrets.iss;
    const { family } = remote.address;
    const mss = announcedMss(family, this.#options.mtu);
    const state = receivedSyn(
      profile,
      { family, announcedMss: mss },
      segment,
      {
        syn: new SynSender(profile, iss, profile.handshakeTimeoutUs),
        early: new ByteRing(profile.sendBufferBytes),
        cameFrom: { open: 'passive', listener: listener.id },
      },
      nowUs,
    );
    const connection = this.#create(local, remote, localIndex, secrets.timestampOffset, {}, state);
    listener.halfOpen.add(connection);
    registry.add(connection, 'LISTEN', nowUs);
    registry.tell({
      kind: 'segment',
      id: connection.id,
      direction: 'in',
      atUs: nowUs,
      segment: viewOf(segment, false),
    });
  }

  #create(
    local: SocketAddress,
    remote: SocketAddress,
    localIndex: number,
    timestampOffset: number,
    options: Partial<ConnectOptions>,
    state: Connection['state'],
  ): Connection {
    return createConnection(
      {
        id: this.#registry.newId(),
        local,
        remote,
        localIndex,
        timestampOffset,
        ttl: options.ttl ?? this.#registry.profile.ttl,
        trafficClass: options.trafficClass ?? 0,
        flowLabel: timestampOffset & 0xfffff,
        announcedMss: announcedMss(remote.address.family, this.#options.mtu),
        userTimeoutUs: options.userTimeoutUs,
        nagle: options.nagle ?? false,
        pathMtu: this.#options.mtu,
      },
      state,
    );
  }

  #localAddress(options: ConnectOptions): IpAddress | undefined {
    const asked = options.local?.address;
    const { family } = options.remote.address;
    return this.#options.addresses.find(
      (address) => address.family === family && (asked === undefined || sameAddress(asked, address)),
    );
  }

  /** MUST-46: no OPEN to what cannot be the other end of a connection. */
  #isValidRemote({ address, port }: SocketAddress): boolean {
    if (!Number.isInteger(port) || port < 1 || port > 65_535) return false;
    const kind = addressKind(address);
    if (kind === 'unspecified' || kind === 'multicast' || kind === 'broadcast') return false;
    return !this.#options.addresses.some((ours) => sameAddress(ours, address));
  }

  #isFull(): boolean {
    return this.#registry.size >= (this.#options.maxConnections ?? MAX_CONNECTIONS);
  }
}
