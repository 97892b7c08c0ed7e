/** The kernel's settings under /proc/sys, which may be missing (older kernels) or read-only (containers). */

import { readFileSync, writeFileSync } from 'node:fs';

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
