import { closeSync, openSync, readFileSync } from 'node:fs';
import * as assert from 'uvu/assert';
import * as libc from '../../daemon/kernel/libc.ts';
import { NetlinkError, NetlinkSocket } from '../../daemon/kernel/netlink-socket.ts';
import {
  encodeMessage,
  NLM_F_ACK,
  NLM_F_DUMP,
  NLM_F_REQUEST,
  NLMSG_DONE,
} from '../../daemon/netlink/message.ts';
import {
  encodeDumpQuestion,
  encodeLinkChange,
  RTM_GETLINK,
  RTM_NEWLINK,
} from '../../daemon/netlink/rtnetlink.ts';
import { spec } from '../harness.ts';

const NETLINK_ROUTE = 0;

spec('a netlink socket', (test) => {
  test('answers a dump to its end, and the next one too', () => {
    using socket = NetlinkSocket.open(NETLINK_ROUTE);
    for (let i = 0; i < 3; i++) assert.ok(countLinks(socket) > 0);
    assert.equal(new Set(Object.values(socket.counters)), new Set([0]));
  });

  test("an error is the kernel's number, in words that say what was being done", () => {
    using socket = NetlinkSocket.open(NETLINK_ROUTE);
    const change = (index: number) => () =>
      socket.request(
        (seq) => encodeMessage(RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK, seq, encodeLinkChange({ index })),
        `change link ${index}`,
      );
    assert.throws(
      change(2_000_000_000),
      (error: unknown) =>
        error instanceof NetlinkError &&
        error.errno === libc.ENODEV &&
        error.message.startsWith('change link 2000000000: ENODEV (no such device)'),
    );
    assert.ok(countLinks(socket) > 0, 'and the socket goes on');
  });

  test('a family that the kernel does not have is an error of opening', () => {
    assert.throws(
      () => NetlinkSocket.open(31),
      (error: unknown) => error instanceof NetlinkError && error.errno === libc.EPROTONOSUPPORT,
    );
  });

  test(
    'believes nobody but the kernel: what others send it is dropped and counted',
    () => {
      using socket = NetlinkSocket.open(NETLINK_ROUTE);
      const sender = libc.socket(libc.AF_NETLINK, libc.SOCK_RAW | libc.SOCK_CLOEXEC, NETLINK_ROUTE);
      try {
        // "The dump is over", in the name of the first request, before it was made.
        const forged = encodeMessage(NLMSG_DONE, 0, 1, new Uint8Array(4));
        assert.is(libc.sendTo(sender, forged, 0, netlinkAddress(portOfFirst())), forged.length);
        assert.ok(countLinks(socket) > 0);
        assert.is(socket.counters.foreignSender, 1);
      } finally {
        libc.close(sender);
      }
    },
    { needs: ['root'] },
  );

  test('is closed once, however often it is disposed of', () => {
    const socket = NetlinkSocket.open(NETLINK_ROUTE);
    socket[Symbol.dispose]();
    const reused = openSync('/proc/self/stat', 'r');
    socket[Symbol.dispose]();
    assert.ok(readFileSync(reused).length > 0, 'the number may belong to another file by then');
    closeSync(reused);
  });
});

function countLinks(socket: NetlinkSocket): number {
  let links = 0;
  socket.request(
    (seq) => encodeMessage(RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, seq, encodeDumpQuestion(0)),
    'list the links',
    () => {
      links++;
    },
  );
  return links;
}

/** The port of a socket that the kernel named: that of the process's first one is its id. */
function portOfFirst(): number {
  const bound = readFileSync('/proc/thread-self/net/netlink', 'utf8')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .some(([, protocol, port]) => protocol === '0' && port === String(process.pid));
  assert.ok(bound, 'the socket under test has the port of the process');
  return process.pid;
}

/** `struct sockaddr_nl` */
function netlinkAddress(port: number): Uint8Array {
  const address = new DataView(new ArrayBuffer(12));
  address.setUint16(0, libc.AF_NETLINK, true);
  address.setUint32(4, port, true);
  return new Uint8Array(address.buffer);
}
