/** What a record of `SocketStore` says, in the words of the table: reading, and the packing of small values. */

import type { Holder, TcpStateName } from '#contract';
import type { DiagRecord } from '../netlink/diag-record.ts';
import { KERNEL_STATE, TIMER } from '../netlink/inet-diag.ts';
import type { SocketStore } from './socket-store.ts';
import { WORD } from './socket-store.ts';
import { tcpStateName } from './tcp-states.ts';

/** How the receive queue changed when it last did. */
export type QueueTrend = 'constant' | 'growing' | 'shrinking';

const TRENDS: readonly QueueTrend[] = ['constant', 'growing', 'shrinking'];
const ATTRIBUTIONS: readonly Holder['attribution'][] = ['unknown', 'socket', 'last-owner', 'listener'];

interface Bits {
  readonly shift: number;
  readonly max: number;
}

/** Where values of a few bits lie in `WORD.bits`. The lowest are as the kernel told them last. */
export const BITS = {
  state: { shift: 0, max: 0xf },
  timer: { shift: 4, max: 7 },
  retransmits: { shift: 7, max: 0xff },
  /** One more than the value, 0 when the kernel did not tell. */
  shutdown: { shift: 15, max: 7 },
  bindAddressNoPort: { shift: 18, max: 3 },
  inbound: { shift: 20, max: 1 },
  basisKernel: { shift: 21, max: 1 },
  attribution: { shift: 22, max: 3 },
  trend: { shift: 24, max: 3 },
  dualStack: { shift: 26, max: 1 },
  sending: { shift: 27, max: 1 },
  exact: { shift: 28, max: 1 },
} as const;
const TOLD_BITS = 20;
const TOLD = (1 << TOLD_BITS) - 1;

/** No time that a 32-bit number of milliseconds can hold. */
const UNTOLD = 0xffff_ffff;
/** TCP_TIMEWAIT_LEN, net/tcp.h: not tunable. */
export const TIME_WAIT_MS = 60_000;

export function bit(store: SocketStore, { shift, max }: Bits): number {
  return (store.get(WORD.bits) >>> shift) & max;
}

export function setBit(store: SocketStore, { shift, max }: Bits, value: number): void {
  store.set(WORD.bits, (store.get(WORD.bits) & ~(max << shift)) | ((value & max) << shift));
}

export function setFlag(store: SocketStore, bits: Bits, value: boolean): void {
  setBit(store, bits, value ? 1 : 0);
}

export function stateOf(store: SocketStore): TcpStateName {
  return tcpStateName(bit(store, BITS.state)) ?? 'CLOSED';
}

export function attributionOf(store: SocketStore): Holder['attribution'] {
  return ATTRIBUTIONS[bit(store, BITS.attribution)] ?? 'unknown';
}

export function setAttribution(store: SocketStore, attribution: Holder['attribution']): void {
  setBit(store, BITS.attribution, ATTRIBUTIONS.indexOf(attribution));
}

export function trendOf(store: SocketStore): QueueTrend {
  return TRENDS[bit(store, BITS.trend)] ?? 'constant';
}

/** The queue's change since the reading before; one that stays the same leaves the trend as it is. */
export function noteQueue(store: SocketStore, queued: number): void {
  const before = store.get(WORD.receiveQueue);
  if (queued === before) return;
  setBit(store, BITS.trend, TRENDS.indexOf(queued > before ? 'growing' : 'shrinking'));
}

/** What the kernel says of the socket as it is now. */
export function note(store: SocketStore, message: DiagRecord): void {
  const told =
    message.state |
    ((message.timer & BITS.timer.max) << BITS.timer.shift) |
    (message.retransmits << BITS.retransmits.shift) |
    (((message.shutdown + 1) & BITS.shutdown.max) << BITS.shutdown.shift) |
    ((message.bindAddressNoPort + 1) << BITS.bindAddressNoPort.shift);
  store.set(WORD.bits, (store.get(WORD.bits) & ~TOLD) | told);
  store.set(WORD.cookieLow, message.cookieLow);
  store.set(WORD.cookieHigh, message.cookieHigh);
  store.set(WORD.expiresMs, message.expiresMs);
  store.set(WORD.receiveQueue, message.receiveQueue);
  store.set(WORD.sendQueue, message.sendQueue);
  store.set(WORD.uid, message.uid);
  store.set(WORD.inode, message.inode);
  noteTimes(store, message);
}

function noteTimes(store: SocketStore, message: DiagRecord): void {
  if (!message.hasTimes) {
    store.set(WORD.lastReceivedMs, UNTOLD);
    store.set(WORD.idleMs, UNTOLD);
    return;
  }
  const { lastDataReceivedMs, lastDataSentMs, lastAckReceivedMs } = message;
  store.set(WORD.lastReceivedMs, lastDataReceivedMs);
  store.set(WORD.idleMs, Math.min(lastDataReceivedMs, lastDataSentMs, lastAckReceivedMs));
}

/** Whether a socket has sent data since it was first seen in its state. What is sent again was sent before. */
export function noteSending(store: SocketStore, message: DiagRecord): void {
  if (((message.bytesSentOnce - store.get(WORD.sentBefore)) | 0) > 0) setFlag(store, BITS.sending, true);
}

export function shutdownOf(store: SocketStore): number | undefined {
  const noted = bit(store, BITS.shutdown);
  return noted === 0 ? undefined : noted - 1;
}

export function bindAddressNoPortOf(store: SocketStore): boolean | undefined {
  const noted = bit(store, BITS.bindAddressNoPort);
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
export function isReusedBy(store: SocketStore, message: DiagRecord): boolean {
  const same =
    store.get(WORD.cookieLow) === message.cookieLow && store.get(WORD.cookieHigh) === message.cookieHigh;
  const leftBehind = message.timer === TIMER.timeWait && bit(store, BITS.timer) !== TIMER.timeWait;
  return !same && !leftBehind;
}

/** States that a segment of the peer leads to: the end of the handshake, its FIN, the ACK of ours. All carry an ACK. */
const BY_PEER =
  (1 << KERNEL_STATE.ESTABLISHED) |
  (1 << KERNEL_STATE.CLOSE_WAIT) |
  (1 << KERNEL_STATE.FIN_WAIT2) |
  (1 << KERNEL_STATE.CLOSING);

/**
 * How long a socket has been in its state at least, where the kernel tells. In TIME-WAIT the timer says it. States that
 * a segment of the peer led to did not begin after its last ACK.
 */
export function kernelAgeMs(message: DiagRecord): number | undefined {
  if (message.state === KERNEL_STATE.TIME_WAIT) return Math.max(0, TIME_WAIT_MS - message.expiresMs);
  return (BY_PEER & (1 << message.state)) !== 0 && message.hasTimes ? message.lastAckReceivedMs : undefined;
}
