/** How TCP and conntrack are set in a network namespace: /proc/sys/net as the calling thread's namespace has it. */

import type { NamespaceSettings, PortRange } from '#contract';
import { NAMESPACE_LIMITS } from '#contract';
import { readSetting } from '../kernel/sysctl.ts';

/** Names of single numbers under net/ipv4. */
const NUMBERS = {
  twReuse: 'tcp_tw_reuse',
  twReuseDelayMs: 'tcp_tw_reuse_delay',
  finTimeoutS: 'tcp_fin_timeout',
  maxTwBuckets: 'tcp_max_tw_buckets',
  maxOrphans: 'tcp_max_orphans',
  somaxconn: '../core/somaxconn',
  maxSynBacklog: 'tcp_max_syn_backlog',
  synCookies: 'tcp_syncookies',
  abortOnOverflow: 'tcp_abort_on_overflow',
  synRetries: 'tcp_syn_retries',
  timestamps: 'tcp_timestamps',
} as const satisfies Partial<Record<keyof NamespaceSettings, string>>;

const CONNTRACK_TIMEOUTS = [
  'syn_sent',
  'syn_recv',
  'established',
  'fin_wait',
  'close_wait',
  'last_ack',
  'time_wait',
  'close',
  'max_retrans',
  'unacknowledged',
] as const;

/** @param root where proc/sys is */
export function readNamespaceSettings(root = '/proc/sys'): NamespaceSettings {
  const read = (name: string) => readSetting(`${root}/net/ipv4/${name}`);
  const numbers = Object.entries(NUMBERS).flatMap(([key, name]) => {
    const value = wholeNumber(read(name));
    return value === undefined ? [] : [[key, value] as const];
  });
  const timeouts = CONNTRACK_TIMEOUTS.flatMap((name) => {
    const value = wholeNumber(readSetting(`${root}/net/netfilter/nf_conntrack_tcp_timeout_${name}`));
    return value === undefined ? [] : [[name, value] as const];
  });
  const [from, to] = numbersOf(read('ip_local_port_range'));
  const [low, pressure, high] = numbersOf(read('tcp_mem'));
  const reserved = read('ip_local_reserved_ports');
  return {
    ...(Object.fromEntries(numbers) as Record<keyof typeof NUMBERS, number>),
    ...(from === undefined || to === undefined ? {} : { portRange: { from, to } }),
    ...(reserved === undefined ? {} : { reservedPorts: portRanges(reserved) }),
    ...(low === undefined || pressure === undefined || high === undefined
      ? {}
      : { memoryPages: { low, pressure, high } }),
    ...(timeouts.length === 0 ? {} : { conntrackTimeoutsS: Object.fromEntries(timeouts) }),
  };
}

/** `8080,9148-9150`; adjoining ones become one, and what a report has no room for is left out. */
export function portRanges(text: string): readonly PortRange[] {
  const ranges: { from: number; to: number }[] = [];
  for (const part of text.split(',')) {
    const [, first, last] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(part) ?? [];
    if (first === undefined) continue;
    const [from, to] = [Number(first), Number(last ?? first)];
    const before = ranges.at(-1);
    if (before !== undefined && before.to + 1 === from) before.to = to;
    else ranges.push({ from, to });
  }
  return ranges.slice(0, NAMESPACE_LIMITS.portRanges);
}

function wholeNumber(text: string | undefined): number | undefined {
  return numbersOf(text)[0];
}

function numbersOf(text: string | undefined): number[] {
  return (text ?? '').split(/\s+/).flatMap((word) => (/^\d+$/.test(word) ? [Number(word)] : []));
}
