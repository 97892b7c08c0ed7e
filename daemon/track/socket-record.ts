/** What a record of `SocketStore` says, in the words of the table: reading, and the packing of small values. */

import type { Holder, TcpStateName } from '#contract';
import type { DiagDetails, DiagSocket } from '../netlink/inet-diag.ts';
import { TIMER } from '../netlink/inet-diag.ts';
import type { SocketStore } from './socket-store.ts';
import { WORD } from './socket-store.ts';
import { tcpStateName } from './tcp-states.ts';

/** How the receive queue changed when it last did. */
export type QueueTrend = 'constant' | 'growing' | 'shrinking';

const TRENDS: readonly QueueTrend[] = ['constant', 'growing', 'shrinking'];
const ATTRIBUTIONS: readonly Holder['attribution'][] = ['unknown', 'socket', 'last-owner', 'listener'];

/** Where values of a few bits lie in `WORD.bits`, and how many they have. */
const BITS = {
  state: [0, 4],
  timer: [4, 3],
  retransmits: [8, 8],
  inbound: [16, 1],
  basisKernel: [17, 1],
  attribution: [18, 2],
  trend: [20, 2],
  dualStack: [22, 1],
  sending: [23, 1],
  /** One more than the value, 0 when the kernel did not tell. */
  shutdown: [24, 3],
  bindAddressNoPort: [27, 2],
} as const;
type BitName = keyof typeof BITS;

const MAX_16 = 0xffff;
/** No time that a 32-bit number of milliseconds can hold. */
const UNTOLD = 0xffff_ffff;

export function bit(store: SocketStore, name: BitName): number {
  const [shift, width] = BITS[name];
  return (store.get(WORD.bits) >>> shift) & ((1 << width) - 1);
}

export function setBit(store: SocketStore, name: BitName, value: number): void {
  const [shift, width] = BITS[name];
  const mask = ((1 << width) - 1) << shift;
  store.set(WORD.bits, (store.get(WORD.bits) & ~mask) | ((value << shift) & mask));
}

export function setFlag(store: SocketStore, name: BitName, value: boolean): void {
  setBit(store, name, value ? 1 : 0);
}

export function stateOf(store: SocketStore): TcpStateName {
  return tcpStateName(bit(store, 'state')) ?? 'CLOSED';
}

export function attributionOf(store: SocketStore): Holder['attribution'] {
  return ATTRIBUTIONS[bit(store, 'attribution')] ?? 'unknown';
}

export function setAttribution(store: SocketStore, attribution: Holder['attribution']): void {
  setBit(store, 'attribution', ATTRIBUTIONS.indexOf(attribution));
}

export function trendOf(store: SocketStore): QueueTrend {
  return TRENDS[bit(store, 'trend')] ?? 'constant';
}

/** The queue's change since the reading before; one that stays the same leaves the trend as it is. */
export function noteQueue(store: SocketStore, queued: number, nowMs: number): void {
  const before = store.get(WORD.receiveQueue);
  if (queued === before) return;
  const trend = queued > before ? 'growing' : 'shrinking';
  if (trendOf(store) !== trend)
    store.set(WORD.queueAfterMs, Math.min(UNTOLD, nowMs - store.getMs(WORD.sinceMs)));
  setBit(store, 'trend', TRENDS.indexOf(trend));
}

export function cgroupOf(store: SocketStore): number {
  return store.get(WORD.cgroupAndSweeps) & MAX_16;
}

export function setCgroup(store: SocketStore, number: number): void {
  store.set(WORD.cgroupAndSweeps, (store.get(WORD.cgroupAndSweeps) & ~MAX_16) | number);
}

/** 65535 stands for that many and more. */
export function sweepsOf(store: SocketStore): number {
  return store.get(WORD.cgroupAndSweeps) >>> 16;
}

export function setSweeps(store: SocketStore, sweeps: number): void {
  store.set(WORD.cgroupAndSweeps, cgroupOf(store) | (Math.min(MAX_16, sweeps) << 16));
}

/** What every message tells. */
export function noteDiag(store: SocketStore, diag: DiagSocket): void {
  setBit(store, 'timer', diag.timer);
  setBit(store, 'retransmits', diag.retransmits);
  store.set(WORD.cookieLow, diag.cookie % 2 ** 32);
  store.set(WORD.cookieHigh, Math.floor(diag.cookie / 2 ** 32));
  store.set(WORD.expiresMs, diag.expiresMs);
  store.set(WORD.receiveQueue, diag.receiveQueue);
  store.set(WORD.sendQueue, diag.sendQueue);
  store.set(WORD.uid, diag.uid);
  store.set(WORD.inode, diag.inode);
}

/** What `noteDiag` noted, as it was. */
export function diagOf(store: SocketStore): DiagSocket {
  return {
    family: store.family,
    state: bit(store, 'state'),
    timer: bit(store, 'timer'),
    retransmits: bit(store, 'retransmits'),
    expiresMs: store.get(WORD.expiresMs),
    localPort: store.localPort(),
    remotePort: store.remotePort(),
    interfaceIndex: store.interfaceIndex(),
    cookie: store.get(WORD.cookieLow) + store.get(WORD.cookieHigh) * 2 ** 32,
    receiveQueue: store.get(WORD.receiveQueue),
    sendQueue: store.get(WORD.sendQueue),
    uid: store.get(WORD.uid),
    inode: store.get(WORD.inode),
  };
}

/** What the attributes tell, as far as it is remembered. */
export function noteDetails(store: SocketStore, details: DiagDetails | undefined, sinceMs: number): void {
  const { shutdown, bindAddressNoPort, info } = details ?? {};
  setBit(store, 'shutdown', shutdown === undefined ? 0 : shutdown + 1);
  setBit(store, 'bindAddressNoPort', bindAddressNoPort === undefined ? 0 : bindAddressNoPort ? 2 : 1);
  store.set(WORD.lastReceivedMs, info?.lastDataReceivedMs ?? UNTOLD);
  store.set(
    WORD.idleMs,
    info === undefined
      ? UNTOLD
      : Math.min(info.lastDataReceivedMs, info.lastDataSentMs, info.lastAckReceivedMs),
  );
  // Both clocks are the kernel's timer ticks: what was sent within one of the state's beginning was sent before.
  setFlag(store, 'sending', info !== undefined && info.lastDataSentMs + TICK_MS < sinceMs);
}

/** The longest tick a kernel is built with (CONFIG_HZ=100). */
const TICK_MS = 10;

export function shutdownOf(store: SocketStore): number | undefined {
  const noted = bit(store, 'shutdown');
  return noted === 0 ? undefined : noted - 1;
}

export function bindAddressNoPortOf(store: SocketStore): boolean | undefined {
  const noted = bit(store, 'bindAddressNoPort');
  return noted === 0 ? undefined : noted === 2;
}

export function msOf(
  store: SocketStore,
  word: typeof WORD.lastReceivedMs | typeof WORD.idleMs,
): number | undefined {
  const noted = store.get(word);
  return noted === UNTOLD ? undefined : noted;
}

/** Whether a new connection took the tuple: another socket, and not the one that stays behind in TIME-WAIT. */
export function isReusedBy(store: SocketStore, now: DiagSocket): boolean {
  const same =
    store.get(WORD.cookieLow) === now.cookie % 2 ** 32 &&
    store.get(WORD.cookieHigh) === Math.floor(now.cookie / 2 ** 32);
  const leftBehind = now.timer === TIMER.timeWait && bit(store, 'timer') !== TIMER.timeWait;
  return !same && !leftBehind;
}
