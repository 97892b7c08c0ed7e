/**
 * `unshare --net --pid --fork --mount-proc --kill-child node test/fuzz/record-netlink.ts`: asks the kernel that runs for
 * messages of every kind that finwait reads, and writes test/fuzz/netlink-corpus.json: payloads in hexadecimal, of those
 * that look alike one.
 */

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as libc from '../../daemon/kernel/libc.ts';
import { NetlinkSocket } from '../../daemon/kernel/netlink-socket.ts';
import type { NetlinkMessage } from '../../daemon/netlink/message.ts';
import {
  decodeMessages,
  encodeMessage,
  NLM_F_ACK,
  NLM_F_DUMP,
  NLM_F_REQUEST,
} from '../../daemon/netlink/message.ts';

const [ROUTE, SOCK_DIAG, NETFILTER] = [0, 4, 12];
const EVENT_GROUPS = 0x7; // NFNLGRP_CONNTRACK_NEW, _UPDATE, _DESTROY
const SCENE = join(import.meta.dirname, '../kernel/tables-scene.ts');
const OUT = join(import.meta.dirname, 'netlink-corpus.json');
const EACH_MAX = 24;

function dump(protocol: number, type: number, body: Uint8Array, flags = NLM_F_DUMP): Uint8Array[] {
  using socket = NetlinkSocket.open(protocol);
  const payloads: Uint8Array[] = [];
  const keep = ({ payload }: NetlinkMessage) => void payloads.push(payload.slice());
  socket.request((seq) => encodeMessage(type, NLM_F_REQUEST | flags, seq, body), `ask ${type}`, keep);
  return payloads;
}

function diagRequest(family: number): Uint8Array {
  const body = new Uint8Array(56);
  // TCP, every extension, every state
  body.set([family, 6, 0xff, 0, 0xff, 0xff, 0, 0]);
  return body;
}

/** Begins to listen; the answer gives what came until then. */
function events(): () => Uint8Array[] {
  const fd = libc.socket(libc.AF_NETLINK, libc.SOCK_RAW | libc.SOCK_CLOEXEC | libc.SOCK_NONBLOCK, NETFILTER);
  const address = new Uint8Array(12);
  new DataView(address.buffer).setUint16(0, libc.AF_NETLINK, true);
  new DataView(address.buffer).setUint32(8, EVENT_GROUPS, true);
  if (fd < 0 || libc.bind(fd, address) < 0) throw new Error('no events');
  return () => {
    const payloads: Uint8Array[] = [];
    const buffer = new Uint8Array(65_536);
    for (let got = libc.recv(fd, buffer); got > 0; got = libc.recv(fd, buffer)) {
      const messages = decodeMessages(buffer.subarray(0, got));
      if (messages.ok) payloads.push(...messages.value.map(({ payload }) => payload.slice()));
    }
    libc.close(fd);
    return payloads;
  };
}

/** One of each length and beginning: those differ in what they hold, others in values only. */
function differing(payloads: readonly Uint8Array[]): string[] {
  const kinds = new Map(payloads.map((payload) => [`${payload.length} ${payload.subarray(0, 2)}`, payload]));
  return [...kinds.values()].slice(0, EACH_MAX).map((payload) => Buffer.from(payload).toString('hex'));
}

function run(program: string, ...args: string[]): void {
  execFileSync(program, args, { stdio: ['ignore', 'ignore', 'inherit'] });
}

run('ip', 'link', 'set', 'lo', 'up');
run('sysctl', '-qw', 'net.netfilter.nf_conntrack_acct=1', 'net.netfilter.nf_conntrack_timestamp=1');
run('ip', 'link', 'add', 'fwa', 'type', 'veth', 'peer', 'name', 'fwb');
run('ip', 'address', 'add', '192.0.2.1/24', 'dev', 'fwa');
run('ip', '-6', 'address', 'add', '2001:db8::1/64', 'dev', 'fwa');
run('ip', 'link', 'set', 'fwa', 'up');
run('ip', 'link', 'set', 'fwb', 'up');
run('ip', 'route', 'add', 'default', 'via', '192.0.2.9');
run('ip', 'route', 'add', 'prohibit', '203.0.113.0/24');
run('nft', 'add table inet zones; add chain inet zones raw { type filter hook output priority -300; }');
run('nft', 'add rule inet zones raw tcp dport 8080 ct zone set 7');
run('nft', 'add chain inet zones marks { type filter hook output priority 0; }');
run('nft', 'add rule inet zones marks tcp dport 8080 ct mark set 42');
const stopListening = events();
const scene = spawn(process.execPath, [SCENE], { stdio: ['ignore', 'pipe', 'inherit'] });
await once(scene.stdout, 'data');
const insert = (...zone: string[]) =>
  run(
    'conntrack',
    '-I',
    ...'-p tcp -s 10.0.0.1 -d 10.0.0.2 --sport 1 --dport 2 --state CLOSE -t 60'.split(' '),
    ...zone,
  );
insert('--orig-zone', '3');
insert('--reply-zone', '4');
insert('--zone', '5');
run('conntrack', ...'-I -p udp -s 10.0.0.1 -d 10.0.0.2 --sport 1 --dport 2 -t 60'.split(' '));
const flows = dump(NETFILTER, 0x101, new Uint8Array(4));
const diag = [2, 10].flatMap((family) => dump(SOCK_DIAG, 20, diagRequest(family)));
run('conntrack', '-D', '-p', 'tcp');
const corpus = {
  flow: differing([...flows, ...stopListening()]),
  statistics: differing([
    ...dump(NETFILTER, 0x104, new Uint8Array(4)),
    ...dump(NETFILTER, 0x105, new Uint8Array(4), NLM_F_ACK),
  ]),
  socket: differing(diag),
  link: differing(dump(ROUTE, 18, new Uint8Array(16))),
  address: differing(dump(ROUTE, 22, new Uint8Array(8))),
  route: differing(dump(ROUTE, 26, new Uint8Array(12))),
  table: differing(dump(NETFILTER, 0xa01, new Uint8Array(4))),
  chain: differing(dump(NETFILTER, 0xa04, new Uint8Array(4))),
};
scene.kill('SIGKILL');
writeFileSync(OUT, `${JSON.stringify(corpus, undefined, 1)}\n`);
for (const [kind, messages] of Object.entries(corpus)) console.log(kind, messages.length);
