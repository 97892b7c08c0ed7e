/**
 * How much of its buffer a receiver offers, and when it tells: RFC 9293 3.8.6.2.2 (MUST-39) as finwait, Linux
 * (__tcp_select_window, tcp_cleanup_rbuf, __tcp_ack_snd_check) and FreeBSD (tcp_output, tcp_do_segment) keep it.
 */

import type { Profile, ProfileName } from './profile.ts';

/** A receiver's buffer at a moment; octets. */
export interface Room {
  /** What the buffer holds in all, and what of it is free. */
  readonly limit: number;
  readonly free: number;
  /** RCV.WND as the peer knows it. */
  readonly offered: number;
  /** The largest window that the header can say. */
  readonly most: number;
  /** The largest segment to come. */
  readonly rmss: number;
}

/** Octets and segments that arrived in order since the last ACK. */
export interface Unacknowledged {
  readonly octets: number;
  readonly segments: number;
  /** The largest segment seen. */
  readonly largest: number;
}

export interface ReceiveRule {
  /** Whether the peer is told a little more than there is, or a little less, when the scale does not fit. */
  readonly rounds: 'up' | 'down';
  /** A packet that the network marked (RFC 3168) is acknowledged at once. */
  readonly hurriesMarks: boolean;
  /** A FIN that is the next one is acknowledged at once, or like text: the user may close in turn. */
  readonly hurriesFin: boolean;
  /** Segments from the first on that are acknowledged at once. */
  readonly quickAcks: number;
  /** What a buffer of that size holds, given the largest segment. */
  limit(bufferBytes: number, rmss: number): number;
  /** Octets from RCV.NXT on to offer; what was offered is never taken back (SHLD-14). */
  offer(room: Room): number;
  /** Reading has made room: whether an ACK says so by itself. */
  isWorthAnUpdate(room: Room): boolean;
  /** Whether an ACK is due without delay. */
  isAckDue(unacknowledged: Unacknowledged): boolean;
}

const finwait: ReceiveRule = {
  rounds: 'up',
  hurriesMarks: true,
  hurriesFin: true,
  quickAcks: 0,
  limit: (bufferBytes) => bufferBytes,
  // The edge moves by half the buffer or a full segment, or not at all.
  offer({ limit, free, offered, most, rmss }) {
    const wanted = Math.min(Math.max(free, 0), most);
    return wanted - offered >= Math.min(limit / 2, rmss) ? wanted : offered;
  },
  // When the window was nearly shut, or has grown by a good part of the buffer.
  isWorthAnUpdate(room) {
    const growth = this.offer(room) - room.offered;
    return growth > 0 && (room.offered < 2 * room.rmss || growth >= room.limit / 4);
  },
  isAckDue: ({ octets, largest }) => octets >= 2 * largest,
};

const linux: ReceiveRule = {
  rounds: 'up',
  hurriesMarks: true,
  hurriesFin: false,
  // TCP_MAX_QUICKACKS
  quickAcks: 16,
  limit: (bufferBytes, rmss) => Math.max(Math.floor(bufferBytes / rmss), 1) * rmss,
  offer({ limit, free, offered, most, rmss }) {
    const mss = Math.min(rmss, limit);
    if (free < limit / 2 && (free < limit / 16 || free < mss)) return Math.max(offered, 0);
    return Math.max(Math.min(free, most), offered);
  },
  isWorthAnUpdate(room) {
    if (2 * room.offered > room.limit) return false;
    const wanted = this.offer(room);
    return wanted > 0 && wanted >= 2 * room.offered && wanted > room.offered;
  },
  isAckDue: ({ octets, largest }) => octets > largest,
};

const freebsd: ReceiveRule = {
  rounds: 'down',
  hurriesMarks: false,
  hurriesFin: true,
  quickAcks: 0,
  limit: (bufferBytes, rmss) => (bufferBytes < rmss ? bufferBytes : Math.ceil(bufferBytes / rmss) * rmss),
  offer({ limit, free, offered, most, rmss }) {
    let wanted = Math.max(free, 0);
    if (wanted < limit / 4 && wanted < rmss) wanted = 0;
    return Math.max(Math.min(wanted, most), offered);
  },
  isWorthAnUpdate({ limit, free, offered, most, rmss }) {
    const growth = Math.min(free, most) - offered;
    if (2 * growth >= limit) return true;
    if (growth < 2 * rmss) return false;
    return growth >= limit / 4 || free <= limit / 8 || limit <= 8 * rmss;
  },
  isAckDue: ({ segments }) => segments >= 2,
};

const RULES: Readonly<Record<ProfileName, ReceiveRule>> = { finwait, linux, freebsd };

export function receiveRule(profile: Profile): ReceiveRule {
  return RULES[profile.receiveRule];
}
