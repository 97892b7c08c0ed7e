/** Addresses and devices of the benchmark's own network namespace. */

import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';

export const DEVICE = 'fwbench0';
/** The kernel's address on the device, and the one that whoever holds the device answers for. */
export const HOST = '198.18.99.1';
export const ENGINE = '198.18.99.2';
export const PORT = 7000;
/** Each port has 28,000 ephemeral ones to be connected from. */
export const PORTS = 16;

const PREFIX_BITS = 24;
/** Enough for a burst of everything that is under way, so that no queue decides a comparison. */
const QUEUE_PACKETS = 10_000;

export function ip(...args: string[]): string {
  return execFileSync('ip', args, { encoding: 'utf8' });
}

/** Brings the loopback up and lets the kernel's TCP give up TIME-WAIT at once: else it soon has no ports left. */
export function setUpNamespace(): void {
  ip('link', 'set', 'lo', 'up');
  setting('net/ipv4/tcp_max_tw_buckets', 0);
  setting('net/ipv4/ip_local_port_range', '2000 65000');
  setting('net/ipv4/tcp_max_syn_backlog', 65_536);
  setting('net/core/somaxconn', 65_535);
}

/** Brings a TUN device up that a program has opened. */
export function setUpDevice(device = DEVICE, address = HOST, within: readonly string[] = []): void {
  const [first = '', ...rest] = [...within, 'ip'];
  const run = (...args: string[]) => execFileSync(first, [...rest, ...args]);
  run('address', 'add', `${address}/${PREFIX_BITS}`, 'dev', device);
  run('link', 'set', device, 'mtu', '1500', 'txqueuelen', String(QUEUE_PACKETS), 'up');
}

export function setting(path: string, value: number | string): void {
  writeFileSync(`/proc/sys/${path}`, String(value));
}
