/** The kernel's settings under /proc/sys, which may be missing (older kernels) or read-only (containers). */

import { readFileSync, writeFileSync } from 'node:fs';
import { NetlinkError } from './netlink-socket.ts';
import type { Routing } from './routing.ts';

export function ipv4Setting(device: string, name: string): string {
  return `/proc/sys/net/ipv4/conf/${device}/${name}`;
}

export function ipv6Setting(device: string, name: string): string {
  return `/proc/sys/net/ipv6/conf/${device}/${name}`;
}

/** @returns the value as text, undefined when this kernel has no such setting or does not show it */
export function readSetting(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return undefined;
  }
}

/** @returns whether the setting has the value now */
export function writeSetting(path: string, value: string): boolean {
  try {
    writeFileSync(path, value);
  } catch {
    // Told by what it reads as, below: it may have had the value before.
  }
  return readSetting(path) === value;
}

/**
 * Like `writeSetting`, and where /proc/sys is read-only, as in most containers, `net.ipv4.conf.*.forwarding` is set
 * by netlink. The file comes first because the kernel then also stops receive offloads that forwarding cannot bear.
 */
export function applySetting(path: string, value: string, routing: Routing): boolean {
  if (writeSetting(path, value)) return true;
  const device = /^\/proc\/sys\/net\/ipv4\/conf\/([^/]+)\/forwarding$/.exec(path)?.[1];
  const index = routing.links().find((link) => link.name === device)?.index;
  if (index === undefined) return false;
  try {
    routing.changeLink({ index, ipv4: { forwarding: Number(value) } }, `set ${path}`);
  } catch (error) {
    if (!(error instanceof NetlinkError)) throw error;
  }
  return readSetting(path) === value;
}
