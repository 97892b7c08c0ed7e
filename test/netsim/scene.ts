/** Two hosts of a simulation that exchange data and close, and what each saw of it. */

import type { LinkOptions } from '../../daemon/netsim/link.ts';
import { type Application, type PacketRecord, Simulation } from '../../daemon/netsim/simulation.ts';
import type { Profile } from '../../daemon/tcp/profile.ts';
import type { ConnectionId, EndReason, StackEvent, StateName } from '../../daemon/tcp/types.ts';
import { type IpAddress, ipFromBytes } from '../../daemon/wire/address.ts';

export const PORT = 80;
export const SECOND_US = 1_000_000;

const ADDRESSES: Readonly<Record<4 | 6, { readonly client: IpAddress; readonly server: IpAddress }>> = {
  4: { client: ipFromBytes(Uint8Array.of(10, 0, 0, 1)), server: ipFromBytes(Uint8Array.of(10, 0, 0, 2)) },
  6: { client: v6(1), server: v6(2) },
};

export interface SceneOptions {
  readonly seed: number;
  readonly link: LinkOptions;
  readonly family?: 4 | 6;
  readonly clientSends?: Uint8Array;
  readonly serverSends?: Uint8Array;
  /** How the two ends behave; default finwait's own profile. */
  readonly profiles?: { readonly client: Profile; readonly server: Profile };
  /** Who closes only once the other has. */
  readonly closesLast?: 'client' | 'server';
  /** The server reads nothing until `read` is called. */
  readonly serverReadsLater?: boolean;
  readonly onPacket?: (record: PacketRecord) => void;
}

/** One end of the connection. */
export interface End {
  id: ConnectionId | undefined;
  readonly states: StateName[];
  readonly received: Uint8Array[];
  eof: boolean;
  /** It takes what arrives. */
  reads: boolean;
  ended: EndReason | undefined;
  retransmissions: number;
}

export interface Scene {
  readonly simulation: Simulation;
  readonly client: End;
  readonly server: End;
  /** The server reads what has arrived, and from now on whatever comes. */
  readonly read: () => void;
}

/** The client connects; both send what they have, then close. Nothing has happened yet. */
export function exchange(options: SceneOptions): Scene {
  const addresses = ADDRESSES[options.family ?? 4];
  const client = newEnd();
  const server = { ...newEnd(), reads: options.serverReadsLater !== true };
  const serve = sendAndClose(server, options.serverSends, options.closesLast === 'server');
  const simulation = new Simulation({
    seed: options.seed,
    link: options.link,
    hosts: [
      {
        name: 'client',
        addresses: [addresses.client],
        ...(options.profiles === undefined ? {} : { profile: options.profiles.client }),
        application: sendAndClose(client, options.clientSends, options.closesLast === 'client'),
      },
      {
        name: 'server',
        addresses: [addresses.server],
        ...(options.profiles === undefined ? {} : { profile: options.profiles.server }),
        application: serve,
      },
    ],
    ...(options.onPacket === undefined ? {} : { onPacket: options.onPacket }),
  });
  simulation.host('server').stack.listen({ port: PORT }, 8);
  simulation.host('client').stack.connect({ remote: { address: addresses.server, port: PORT } }, 0);
  const read = () => {
    const { nowUs } = simulation;
    server.reads = true;
    if (server.id === undefined) return;
    serve({ kind: 'readable', id: server.id, atUs: nowUs }, simulation.host('server').stack, nowUs);
  };
  return { simulation, client, server, read };
}

export function bytesOf(end: End): Uint8Array {
  return Buffer.concat(end.received);
}

function newEnd(): End {
  return {
    id: undefined,
    states: [],
    received: [],
    eof: false,
    reads: true,
    ended: undefined,
    retransmissions: 0,
  };
}

function sendAndClose(end: End, data: Uint8Array = new Uint8Array(0), closesLast = false): Application {
  let sent = 0;
  let shut = false;
  return (event, stack, nowUs) => {
    note(end, event);
    if (event.kind === 'accepted') stack.accept(event.listener);
    if (event.kind === 'readable' && end.reads) {
      const got = stack.receive(event.id, Number.MAX_SAFE_INTEGER, nowUs);
      if (got.ok) end.received.push(got.value.data);
      end.eof ||= got.ok && got.value.eof;
    }
    if (end.id === undefined || end.ended !== undefined || !end.states.includes('ESTABLISHED')) return;
    const taken = stack.send(end.id, data.subarray(sent), nowUs);
    if (taken.ok) sent += taken.value;
    if (sent === data.length && !shut && (end.eof || !closesLast)) {
      shut = true;
      stack.shutdown(end.id, nowUs);
    }
  };
}

function note(end: End, event: StackEvent): void {
  if (event.kind === 'stray') return;
  end.id ??= event.id;
  if (event.id !== end.id) return;
  if (event.kind === 'state') end.states.push(event.to);
  if (event.kind === 'ended') end.ended = event.reason;
  if (event.kind === 'segment' && event.direction === 'out' && event.segment.retransmission) {
    end.retransmissions += 1;
  }
}

function v6(last: number): IpAddress {
  const bytes = new Uint8Array(16);
  bytes.set([0x20, 0x01, 0x0d, 0xb8]);
  bytes[15] = last;
  return ipFromBytes(bytes);
}
