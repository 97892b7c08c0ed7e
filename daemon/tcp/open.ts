/** Active OPEN: makes connections to others. RFC 9293 sections 3.9.1.1 and 3.10.1 */

import { addressKind, type IpAddress, sameAddress } from '../wire/address.ts';
import { announcedMss } from './agreement.ts';
import { ByteRing } from './byte-ring.ts';
import { accepted, refused } from './calls.ts';
import { type Connection, createConnection } from './connection.ts';
import { type ConnectionSecrets, createIsnSource } from './isn.ts';
import { MemoryBudget } from './memory-budget.ts';
import { createPortSource } from './ports.ts';
import type { Registry } from './registry.ts';
import { createSettings, type Settings } from './settings.ts';
import type { State } from './states.ts';
import { SynSender } from './syn-sender.ts';
import { mayReuseTimeWait } from './time-wait.ts';
import type { ConnectionId, ConnectOptions, EngineResult, SocketAddress, StackOptions } from './types.ts';

const MAX_CONNECTIONS = 65_536;
const MAX_RECEIVE_BYTES = 64 * 1024 * 1024;

/** What is the same for every new connection. */
export class Maker {
  readonly options: StackOptions;
  readonly secretsOf: (local: SocketAddress, remote: SocketAddress, nowUs: number) => ConnectionSecrets;
  /** Of all receive buffers of the stack. */
  readonly memory: MemoryBudget;
  readonly #registry: Registry;

  constructor(registry: Registry, options: StackOptions) {
    this.#registry = registry;
    this.options = options;
    this.memory = new MemoryBudget(options.maxReceiveBytes ?? MAX_RECEIVE_BYTES);
    this.secretsOf = createIsnSource(options.random);
  }

  get isFull(): boolean {
    return this.#registry.size >= (this.options.maxConnections ?? MAX_CONNECTIONS);
  }

  announcedMss(remote: SocketAddress, settings: Settings): number {
    const maxSegment = this.#registry.profile.announcesMaxSegment ? settings.maxSegment : undefined;
    return announcedMss(remote.address.family, this.options.mtu, maxSegment);
  }

  connection(
    ends: { readonly local: SocketAddress; readonly remote: SocketAddress; readonly localIndex: number },
    timestampOffset: number,
    settings: Settings,
    state: State,
  ): Connection {
    const { profile } = this.#registry;
    const id = this.#registry.newId();
    const mss = this.announcedMss(ends.remote, settings);
    return createConnection(profile, id, ends, timestampOffset, mss, settings, this, state);
  }
}

export class Opener {
  readonly #registry: Registry;
  readonly #maker: Maker;
  readonly #portFor: ReturnType<typeof createPortSource>;

  constructor(registry: Registry, maker: Maker) {
    this.#registry = registry;
    this.#maker = maker;
    this.#portFor = createPortSource(maker.options.random);
  }

  /** SYN-SENT. */
  open(options: ConnectOptions, nowUs: number): EngineResult<ConnectionId> {
    const registry = this.#registry;
    const { addresses } = this.#maker.options;
    const { remote, local: asked, ...given } = options;
    const { family } = remote.address;
    const address = this.#localAddress(options);
    if (address === undefined) {
      const known = addresses.some((ours) => ours.family === family);
      return refused(known ? 'address-not-available' : 'address-family-unsupported');
    }
    if (!this.#isValidRemote(remote)) return refused('invalid-remote');
    const localIndex = addresses.indexOf(address);
    const timeWaitOf = (port: number) => {
      const connection = registry.byTuple.findTuple(localIndex, port, remote);
      if (connection === undefined) return undefined;
      return connection.state.name === 'TIME-WAIT' && mayReuseTimeWait(connection.state)
        ? connection
        : 'taken';
    };
    if (asked?.port !== undefined && !isPort(asked.port)) return refused('address-not-available');
    if (asked?.port !== undefined && timeWaitOf(asked.port) === 'taken') return refused('connection-exists');
    const isFree = (port: number) => registry.byTuple.findTuple(localIndex, port, remote) === undefined;
    const port = asked?.port ?? this.#portFor(address, remote, isFree);
    if (port === undefined) return refused('no-ports-left');
    const replaced = timeWaitOf(port);
    if (typeof replaced === 'object') registry.end(replaced, 'closed', nowUs);
    if (this.#maker.isFull) return refused('too-many-connections');

    const local = { address, port };
    const { iss, timestampOffset } = this.#maker.secretsOf(local, remote, nowUs);
    const { profile } = registry;
    const settings = createSettings(profile, given);
    const timeoutUs = settings.userTimeoutUs ?? settings.handshakeTimeoutUs ?? profile.handshakeTimeoutUs;
    const state = {
      name: 'SYN-SENT',
      syn: new SynSender(profile, iss, 'syn', timeoutUs),
      early: new ByteRing(settings.sendBufferBytes),
    } as const;
    const connection = this.#maker.connection(
      { local, remote, localIndex },
      timestampOffset,
      settings,
      state,
    );
    registry.add(connection, 'CLOSED', nowUs);
    return accepted(connection.id);
  }

  #localAddress({ local, remote }: ConnectOptions): IpAddress | undefined {
    const asked = local?.address;
    const { family } = remote.address;
    return this.#maker.options.addresses.find(
      (address) => address.family === family && (asked === undefined || sameAddress(asked, address)),
    );
  }

  /** MUST-46: no OPEN to what cannot be the other end of a connection. */
  #isValidRemote({ address, port }: SocketAddress): boolean {
    if (!isPort(port)) return false;
    const kind = addressKind(address);
    if (kind === 'unspecified' || kind === 'multicast' || kind === 'broadcast') return false;
    return !this.#maker.options.addresses.some((ours) => sameAddress(ours, address));
  }
}

function isPort(port: number): boolean {
  return Number.isInteger(port) && port >= 1 && port <= 65_535;
}
