/** TCP options. RFC 9293 section 3.2, RFC 7323 (window scale, timestamps), RFC 2018 (SACK) */

import { readU8, readU16, readU32, writeU16, writeU32 } from './bytes.ts';
import { type Seq, seq } from './seq.ts';
import { TCP_OPTIONS_BYTES_MAX } from './tcp-header.ts';

const OPTION_KIND = {
  endOfList: 0,
  noOperation: 1,
  mss: 2,
  windowScale: 3,
  sackPermitted: 4,
  sack: 5,
  timestamps: 8,
} as const;

/** Received data from `left` up to, not including, `right`. */
export interface SackBlock {
  readonly left: Seq;
  readonly right: Seq;
}

export interface TcpOptions {
  readonly mss: number | undefined;
  /** Shift count as sent, 0 to 255; above 14 it means 14 (RFC 7323 2.3). */
  readonly windowScale: number | undefined;
  readonly sackPermitted: boolean;
  readonly sack: readonly SackBlock[] | undefined;
  readonly timestamps: { readonly value: number; readonly echo: number } | undefined;
  /** An option had an impossible length; it and those after it were not read. */
  readonly malformed: boolean;
}

export const NO_OPTIONS: TcpOptions = Object.freeze({
  mss: undefined,
  windowScale: undefined,
  sackPermitted: false,
  sack: undefined,
  timestamps: undefined,
  malformed: false,
});

/**
 * Reads the options that lie at `packet[start, end)`. Unknown kinds are skipped by their length (MUST-6); an
 * option of a known kind but another length than its own is skipped as if unknown; a length below 2 or beyond
 * the header ends the reading (MUST-7).
 */
export function decodeTcpOptions(packet: Uint8Array, start: number, end: number): TcpOptions {
  const stop = Math.min(end, packet.length);
  if (start < 0 || start >= stop) return NO_OPTIONS;
  let mss: number | undefined;
  let windowScale: number | undefined;
  let sackPermitted = false;
  let sack: SackBlock[] | undefined;
  let timestamps: TcpOptions['timestamps'];
  let malformed = false;
  for (let at = start; at < stop; ) {
    const kind = readU8(packet, at);
    if (kind === OPTION_KIND.endOfList) break;
    if (kind === OPTION_KIND.noOperation) {
      at += 1;
      continue;
    }
    const length = at + 1 < stop ? readU8(packet, at + 1) : 0;
    if (length < 2 || at + length > stop) {
      malformed = true;
      break;
    }
    if (kind === OPTION_KIND.mss && length === 4) mss = readU16(packet, at + 2);
    else if (kind === OPTION_KIND.windowScale && length === 3) windowScale = readU8(packet, at + 2);
    else if (kind === OPTION_KIND.sackPermitted && length === 2) sackPermitted = true;
    else if (kind === OPTION_KIND.sack && length > 2 && length % 8 === 2) {
      sack = decodeSackBlocks(packet, at + 2, at + length);
    } else if (kind === OPTION_KIND.timestamps && length === 10) {
      timestamps = { value: readU32(packet, at + 2), echo: readU32(packet, at + 6) };
    }
    at += length;
  }
  return { mss, windowScale, sackPermitted, sack, timestamps, malformed };
}

function decodeSackBlocks(packet: Uint8Array, start: number, end: number): SackBlock[] {
  const blocks: SackBlock[] = [];
  for (let at = start; at < end; at += 8) {
    blocks.push({ left: seq(readU32(packet, at)), right: seq(readU32(packet, at + 4)) });
  }
  return blocks;
}

type OptionName = 'mss' | 'windowScale' | 'sackPermitted' | 'sack' | 'timestamps';

/** Where an option stands: systems put no-operation bytes before it, so that its values lie on whole words. */
export interface OptionPlace {
  readonly option: OptionName;
  /** Its offset in the options, modulo four. */
  readonly align: 0 | 1 | 2;
  /** When that option follows, the two fill a word between them and nothing is put before this one. */
  readonly joins?: OptionName;
}

/**
 * Writes the options that `layout` names and `options` has, in the layout's order, at `packet[start...]`, and
 * pads with end-of-list bytes to a multiple of four (MUST-69). As many SACK blocks are written as fit.
 *
 * @returns the number of bytes, at most 40; `packet` must have room for them
 */
export function encodeTcpOptions(
  packet: Uint8Array,
  start: number,
  options: TcpOptions,
  layout: readonly OptionPlace[],
): number {
  if (options === NO_OPTIONS) return 0;
  let at = start;
  for (const place of layout) {
    if (!isPresent(options, place.option)) continue;
    const joined = place.joins !== undefined && isPresent(options, place.joins);
    for (; !joined && (at - start) % 4 !== place.align; at += 1) packet[at] = OPTION_KIND.noOperation;
    at = encodeOption(packet, at, start + TCP_OPTIONS_BYTES_MAX, options, place.option);
  }
  while ((at - start) % 4 !== 0) {
    packet[at] = OPTION_KIND.endOfList;
    at += 1;
  }
  return at - start;
}

function isPresent(options: TcpOptions, option: OptionName): boolean {
  return option === 'sackPermitted' ? options.sackPermitted : options[option] !== undefined;
}

function encodeOption(
  packet: Uint8Array,
  at: number,
  limit: number,
  options: TcpOptions,
  option: OptionName,
): number {
  switch (option) {
    case 'mss':
      packet[at] = OPTION_KIND.mss;
      packet[at + 1] = 4;
      writeU16(packet, at + 2, options.mss ?? 0);
      return at + 4;
    case 'windowScale':
      packet[at] = OPTION_KIND.windowScale;
      packet[at + 1] = 3;
      packet[at + 2] = options.windowScale ?? 0;
      return at + 3;
    case 'sackPermitted':
      packet[at] = OPTION_KIND.sackPermitted;
      packet[at + 1] = 2;
      return at + 2;
    case 'timestamps':
      packet[at] = OPTION_KIND.timestamps;
      packet[at + 1] = 10;
      writeU32(packet, at + 2, options.timestamps?.value ?? 0);
      writeU32(packet, at + 6, options.timestamps?.echo ?? 0);
      return at + 10;
    case 'sack':
      return encodeSack(packet, at, limit, options.sack ?? []);
  }
}

function encodeSack(packet: Uint8Array, at: number, limit: number, blocks: readonly SackBlock[]): number {
  const count = Math.min(blocks.length, Math.floor((limit - at - 2) / 8));
  if (count <= 0) return at;
  packet[at] = OPTION_KIND.sack;
  packet[at + 1] = 2 + count * 8;
  for (let i = 0; i < count; i += 1) {
    const block = blocks[i] as SackBlock;
    writeU32(packet, at + 2 + i * 8, block.left);
    writeU32(packet, at + 6 + i * 8, block.right);
  }
  return at + 2 + count * 8;
}
