/** struct tcp_info of Linux 6.18 (uapi/linux/tcp.h), 280 bytes. What the engine does not measure is zero. */

import type { ListenerInfo, StateName, TcpInfo } from '../../daemon/tcp/types.ts';

const BYTES = 280;

/** tcp_states.h */
const STATE: Readonly<Record<StateName, number>> = {
  ESTABLISHED: 1,
  'SYN-SENT': 2,
  'SYN-RECEIVED': 3,
  'FIN-WAIT-1': 4,
  'FIN-WAIT-2': 5,
  'TIME-WAIT': 6,
  CLOSED: 7,
  'CLOSE-WAIT': 8,
  'LAST-ACK': 9,
  LISTEN: 10,
  CLOSING: 11,
};

/** TCP_CA_*; a reordering that was not yet judged (1) is `open` here. */
const CA_STATE = { open: 0, reduced: 2, recovery: 3, loss: 4 } as const;

/** TCPI_OPT_* */
const OPTION = { timestamps: 1, sack: 2, windowScale: 4, ecn: 8 } as const;

/** Linux TCP_INFINITE_SSTHRESH, and the reordering it begins with (tcp_reordering). */
const NO_THRESHOLD = 0x7fff_ffff;
const REORDERING = 3;
const MILLISECOND_US = 1_000;

type Field = readonly [offset: number, bytes: 1 | 4 | 8, value: number];

/** @param state as the user of the socket sees it; without `info`, the socket has no connection */
export function tcpInfoBytes(state: StateName, info: TcpInfo | undefined, nowUs: number): Uint8Array {
  return structOf(state, info === undefined ? [] : fieldsOf(info, nowUs));
}

/** Of a listener, two fields say how long its queue is and may be. */
export function listenerInfoBytes({ waiting, backlog }: ListenerInfo): Uint8Array {
  return structOf('LISTEN', [
    [24, 4, waiting],
    [28, 4, backlog],
  ]);
}

function structOf(state: StateName, known: readonly Field[]): Uint8Array {
  const bytes = new Uint8Array(BYTES);
  const view = new DataView(bytes.buffer);
  const fields: Field[] = [[0, 1, STATE[state]], [88, 4, REORDERING], ...known];
  for (const [offset, size, value] of fields) {
    const whole = Math.max(Math.floor(value), 0);
    if (size === 1) view.setUint8(offset, whole);
    else if (size === 4) view.setUint32(offset, whole, true);
    else view.setBigUint64(offset, BigInt(whole), true);
  }
  return bytes;
}

/** In the order of the struct. */
function fieldsOf(info: TcpInfo, nowUs: number): Field[] {
  const { retransmits, inFlight, totals, sendMss, ssthresh } = info;
  const sinceMs = (atUs: number | undefined) => (atUs === undefined ? 0 : (nowUs - atUs) / MILLISECOND_US);
  const threshold = ssthresh === undefined || !Number.isFinite(ssthresh) ? NO_THRESHOLD : ssthresh / sendMss;
  return [
    [1, 1, CA_STATE[info.recovery ?? 'open']],
    [2, 1, info.backoffs],
    [3, 1, info.probes],
    [4, 1, info.backoffs],
    [5, 1, optionBits(info)],
    [6, 1, (info.sndWindShift ?? 0) | ((info.rcvWindShift ?? 0) << 4)],
    [8, 4, info.rtoUs],
    [16, 4, sendMss],
    [24, 4, inFlight.segments],
    [28, 4, inFlight.sacked],
    [32, 4, inFlight.lost],
    [44, 4, sinceMs(info.lastSentUs)],
    [52, 4, sinceMs(info.lastReceivedUs)],
    [56, 4, sinceMs(info.lastAckUs)],
    [60, 4, info.pathMtu],
    [68, 4, info.srttUs ?? 0],
    [72, 4, info.rttvarUs ?? 0],
    [76, 4, threshold],
    [80, 4, (info.cwnd ?? 0) / sendMss],
    [100, 4, retransmits.syn + retransmits.data + retransmits.fin],
    [120, 8, totals.bytesAcked],
    [128, 8, totals.bytesReceived],
    [144, 4, info.unsentBytes],
    [148, 4, info.minRttUs ?? 0],
    [152, 4, totals.segmentsIn],
    [156, 4, totals.segmentsOut],
    [200, 8, totals.bytesSent],
    [208, 8, totals.bytesRetransmitted],
    [228, 4, info.sndWnd],
    [232, 4, info.rcvWnd],
  ];
}

function optionBits(info: TcpInfo): number {
  return (
    (info.timestampsEnabled ? OPTION.timestamps : 0) |
    (info.sackPermitted ? OPTION.sack : 0) |
    (info.sndWindShift === undefined ? 0 : OPTION.windowScale) |
    (info.ecnEnabled ? OPTION.ecn : 0)
  );
}
