import * as assert from 'uvu/assert';
import { SeededRandom } from '../../../daemon/netsim/random.ts';
import { FINWAIT_PROFILE } from '../../../daemon/tcp/profiles/finwait.ts';
import { errnoOfIcmp } from '../../../daemon/tcp/sockets/errno.ts';
import type { Socket } from '../../../daemon/tcp/sockets/socket.ts';
import { Sockets } from '../../../daemon/tcp/sockets/sockets.ts';
import { createStack } from '../../../daemon/tcp/stack.ts';
import type { TcpStack } from '../../../daemon/tcp/types.ts';
import type { IpAddress } from '../../../daemon/wire/address.ts';
import { errorKind } from '../../../daemon/wire/icmp-kinds.ts';
import { spec } from '../../harness.ts';
import { ip } from '../wire/support.ts';

const PORT = 80;

interface Host {
  readonly stack: TcpStack;
  readonly sockets: Sockets;
  readonly address: IpAddress;
}

function host(address: string, seed: number, other = 'fd00::9'): Host {
  const random = new SeededRandom(seed);
  const addresses = [ip(address), ip(other)];
  const bytes = (length: number) => random.bytes(length);
  const profile = FINWAIT_PROFILE;
  const stack = createStack({ addresses, mtu: 1500, random: bytes, profile });
  return {
    stack,
    sockets: new Sockets({ stack, addresses, profile, random: bytes }),
    address: ip(address),
  };
}

/** Carries packets between two hosts until both are silent. */
function exchange(a: Host, b: Host, nowUs = 0): void {
  for (let silent = 0; silent < 2; ) {
    silent += 1;
    for (const [from, to] of [
      [a, b],
      [b, a],
    ] as const) {
      for (let packet = from.stack.next(nowUs); packet; packet = from.stack.next(nowUs)) {
        to.stack.input(packet, nowUs);
        silent = 0;
      }
    }
  }
}

/** A connection between two hosts, and its listener. */
function connected(): { a: Host; b: Host; client: Socket; server: Socket; listener: Socket } {
  const a = host('10.0.0.1', 1);
  const b = host('10.0.0.2', 2);
  const listener = b.sockets.socket(4);
  assert.ok(b.sockets.bind(listener, undefined, PORT).ok);
  assert.ok(b.sockets.listen(listener, 5).ok);
  const client = a.sockets.socket(4);
  assert.equal(a.sockets.connect(client, { address: b.address, port: PORT }, 0), {
    ok: false,
    errno: 'EINPROGRESS',
  });
  exchange(a, b);
  assert.ok(a.sockets.connected(client).ok);
  const accepted = b.sockets.accept(listener);
  if (!accepted.ok) throw new Error(accepted.errno);
  return { a, b, client, server: accepted.value, listener };
}

function errnoOf(answer: { readonly ok: boolean; readonly errno?: string }): string {
  return answer.ok ? 'ok' : (answer.errno ?? '');
}

spec('sockets', (test) => {
  test('carry bytes from one to the other and back, to the end of the stream', () => {
    const { a, b, client, server } = connected();
    assert.equal(a.sockets.send(client, Buffer.from('ping'), {}, 0), { ok: true, value: 4 });
    exchange(a, b);
    const got = b.sockets.receive(server, 100, 0);
    assert.is(got.ok && Buffer.from(got.value).toString(), 'ping');
    assert.ok(a.sockets.shutdown(client, 'write', 0).ok);
    exchange(a, b);
    assert.equal(b.sockets.receive(server, 100, 0), { ok: true, value: new Uint8Array(0) });
    assert.is(errnoOf(b.sockets.send(server, Buffer.from('pong'), {}, 0)), 'ok');
    exchange(a, b);
    const back = a.sockets.receive(client, 100, 0);
    assert.is(back.ok && Buffer.from(back.value).toString(), 'pong');
  });

  test('keep the urgent byte apart from the stream, for who asks before it is passed', () => {
    const { a, b, client, server } = connected();
    assert.is(errnoOf(b.sockets.receiveUrgent(server)), 'EINVAL');
    a.sockets.send(client, Buffer.from('abc!'), { urgent: true }, 0);
    a.sockets.send(client, Buffer.from('def'), {}, 0);
    exchange(a, b);
    b.stack.advance(100_000);
    exchange(a, b, 100_000);
    const urgent = b.sockets.receiveUrgent(server);
    assert.is(urgent.ok && Buffer.from(urgent.value).toString(), '!');
    const texts = ['', ''].map(() => {
      const got = b.sockets.receive(server, 100, 100_000);
      return got.ok ? Buffer.from(got.value).toString() : got.errno;
    });
    assert.equal(texts, ['abc', 'def']);
    assert.is(errnoOf(b.sockets.receiveUrgent(server)), 'EINVAL');
  });

  test('take ephemeral ports at random, each once (RFC 6056)', () => {
    const { sockets } = host('10.0.0.1', 3);
    const ports = Array.from({ length: 200 }, () => {
      const socket = sockets.socket(4);
      assert.ok(sockets.bind(socket, undefined, 0).ok);
      return socket.bound?.port ?? 0;
    });
    assert.is(new Set(ports).size, ports.length);
    assert.ok(ports.every((port) => port >= 32_768 && port <= 60_999));
    const steps = ports.slice(1).map((port, at) => port - (ports[at] ?? 0));
    assert.ok(new Set(steps).size > 150, 'the next port cannot be told from the last');
  });

  test('say so when no ephemeral port is left', () => {
    const { sockets } = host('10.0.0.1', 3);
    const holder = sockets.socket(4);
    assert.ok(sockets.bind(holder, undefined, 32_768).ok);
    const bound = { address: undefined, byUser: true };
    for (let port = 32_769; port <= 60_999; port += 1) sockets.socket(4).bound = { ...bound, port };
    assert.is(errnoOf(sockets.bind(sockets.socket(4), undefined, 0)), 'EADDRINUSE');
  });

  test('bind to their own addresses only', () => {
    const { sockets, address } = host('10.0.0.1', 3);
    const outcomes = [ip('10.0.0.9'), ip('224.0.0.1'), ip('255.255.255.255'), ip('fd00::9'), address].map(
      (one) => errnoOf(sockets.bind(sockets.socket(4), one, PORT)),
    );
    assert.equal(outcomes, ['EADDRNOTAVAIL', 'EADDRNOTAVAIL', 'EADDRNOTAVAIL', 'EAFNOSUPPORT', 'ok']);
  });

  test('of IPv6 stand in the way of IPv4 at the same port, unless they keep to themselves', () => {
    const { sockets } = host('10.0.0.1', 3);
    const [dual, plain] = [sockets.socket(6), sockets.socket(4)];
    assert.ok(sockets.bind(dual, undefined, PORT).ok);
    assert.is(errnoOf(sockets.bind(plain, undefined, PORT)), 'EADDRINUSE');
    const alone = sockets.socket(6);
    assert.ok(sockets.setOption(alone, 'IPV6_V6ONLY', 1, 0).ok);
    assert.ok(sockets.bind(alone, undefined, PORT + 1).ok);
    assert.ok(sockets.bind(plain, undefined, PORT + 1).ok);
    assert.is(errnoOf(sockets.setOption(alone, 'IPV6_V6ONLY', 0, 0)), 'EINVAL');
  });

  test('of IPv4 that listen at any address do not answer IPv6', () => {
    const a = host('fd00::1', 1, '10.0.0.1');
    const b = host('fd00::2', 2, '10.0.0.2');
    const listener = b.sockets.socket(4);
    b.sockets.bind(listener, undefined, PORT);
    b.sockets.listen(listener, 5);
    const client = a.sockets.socket(6);
    a.sockets.connect(client, { address: b.address, port: PORT }, 0);
    exchange(a, b);
    assert.is(errnoOf(a.sockets.connected(client)), 'ECONNREFUSED');
  });

  test('connect to nobody who cannot be the other end (MUST-46a, MUST-46b)', () => {
    const { sockets } = host('10.0.0.1', 3);
    for (const text of ['224.0.0.1', '255.255.255.255', '0.0.0.0']) {
      const socket = sockets.socket(4);
      assert.is(errnoOf(sockets.connect(socket, { address: ip(text), port: PORT }, 0)), 'ENETUNREACH', text);
      assert.is(socket.bound, undefined);
    }
    assert.is(
      errnoOf(sockets.connect(sockets.socket(4), { address: ip('fd00::2'), port: PORT }, 0)),
      'ENETUNREACH',
    );
  });

  test('that are accepted have what was set of the listener, and their own from then on', () => {
    const { b, server, listener } = connected();
    assert.ok(b.sockets.setOption(listener, 'SO_KEEPALIVE', 1, 0).ok);
    assert.equal(b.sockets.getOption(server, 'SO_KEEPALIVE'), { ok: true, value: 0 });
    assert.equal(b.sockets.getOption(listener, 'SO_KEEPALIVE'), { ok: true, value: 1 });
  });

  test('leave nothing behind when they are closed and their connections are over', () => {
    const { a, b, client, server, listener } = connected();
    a.sockets.close(client, 0);
    exchange(a, b);
    b.sockets.close(server, 0);
    exchange(a, b);
    b.sockets.close(listener, 0);
    assert.is(a.sockets.size, 1, 'TIME-WAIT holds its port');
    assert.is(b.sockets.size, 0);
    a.stack.advance(3_600_000_000);
    a.sockets.sync();
    assert.is(a.sockets.size, 0);
    assert.is(a.stack.usage().connections, 0);
  });

  test('name ICMP errors as Linux does', () => {
    const name = (family: 4 | 6, type: number, code: number) =>
      errnoOfIcmp({ family, type, code, kind: errorKind(family, type, code) ?? 'unreachable' });
    const v4 = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 13, 99].map((code) => name(4, 3, code));
    assert.is(
      v4.join(' '),
      'ENETUNREACH EHOSTUNREACH ENOPROTOOPT ECONNREFUSED EMSGSIZE EOPNOTSUPP ENETUNREACH EHOSTDOWN ENONET ' +
        'ENETUNREACH EHOSTUNREACH EHOSTUNREACH EHOSTUNREACH',
    );
    const v6 = [0, 1, 2, 3, 4, 5, 6].map((code) => name(6, 1, code));
    assert.is(v6.join(' '), 'ENETUNREACH EACCES EHOSTUNREACH EHOSTUNREACH ECONNREFUSED EACCES EACCES');
    assert.is(name(4, 11, 0), 'EHOSTUNREACH');
    assert.is(name(6, 2, 0), 'EMSGSIZE');
    assert.is(name(4, 12, 0), 'EPROTO');
  });
});
