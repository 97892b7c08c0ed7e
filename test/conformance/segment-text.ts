/**
 * Segments as scripts write them: `PSH,ACK 1:1001(1000) ack 1 win 512 <nop,nop,TS 5 7>`. Sequence numbers are
 * relative to the initial one of whoever they count for.
 */

import { flagNames } from '../../daemon/wire/tcp-header.ts';

export interface SegmentText {
  /** In the order of the header, lowest bit first. */
  readonly flags: readonly string[];
  readonly first: number;
  readonly length: number;
  readonly ack: number | undefined;
  readonly win: number | undefined;
  readonly urg: number | undefined;
  readonly ttl: number | undefined;
  readonly tos: number | undefined;
  /** Undefined: whatever they are. */
  readonly options: readonly string[] | undefined;
}

const FLAGS = ['FIN', 'SYN', 'RST', 'PSH', 'ACK', 'URG', 'ECE', 'CWR'] as const;
const SEGMENT =
  /^(?<flags>[A-Z,]+) (?<first>\d+):(?<last>\d+)\((?<length>\d+)\)(?<rest>.*?)(?:<(?<options>.*)>)?$/;
const FIELDS = ['ack', 'win', 'urg', 'ttl', 'tos'] as const;

/** @throws Error that says what cannot be read */
export function parseSegment(text: string): SegmentText {
  const groups = SEGMENT.exec(text.trim())?.groups;
  if (groups === undefined) throw new Error(`this is no segment: ${text}`);
  const names = (groups.flags ?? '').split(',');
  const unknown = names.find((name) => !FLAGS.includes(name as (typeof FLAGS)[number]));
  if (unknown !== undefined) throw new Error(`there is no flag ${unknown}`);
  const fields = new Map<string, number>();
  const words = (groups.rest ?? '').split(/\s+/).filter((word) => word !== '');
  for (let at = 0; at < words.length; at += 2) {
    const [name = '', value = ''] = words.slice(at, at + 2);
    if (!FIELDS.includes(name as (typeof FIELDS)[number]) || !/^\d+$/.test(value)) {
      throw new Error(`no field of a segment: ${name} ${value}`);
    }
    fields.set(name, Number(value));
  }
  const [first, last, length] = [Number(groups.first), Number(groups.last), Number(groups.length)];
  if (last - first !== length) throw new Error(`${first}:${last} is not ${length} long`);
  return {
    flags: FLAGS.filter((flag) => names.includes(flag)),
    first,
    length,
    ack: fields.get('ack'),
    win: fields.get('win'),
    urg: fields.get('urg'),
    ttl: fields.get('ttl'),
    tos: fields.get('tos'),
    options: groups.options === undefined ? undefined : optionList(groups.options),
  };
}

function optionList(text: string): string[] {
  return text
    .split(',')
    .map((option) => option.trim())
    .filter((option) => option !== '');
}

export function formatSegment(segment: SegmentText): string {
  const { flags, first, length, options } = segment;
  const fields = FIELDS.flatMap((name) => (segment[name] === undefined ? [] : [`${name} ${segment[name]}`]));
  const head = `${flags.join(',')} ${first}:${first + length}(${length})`;
  return [head, ...fields, ...(options === undefined ? [] : [`<${options.join(',')}>`])].join(' ');
}

export function flagBits(names: readonly string[]): number {
  return names.reduce((bits, name) => bits | (1 << FLAGS.indexOf(name as (typeof FLAGS)[number])), 0);
}

export function flagsOf(bits: number): string[] {
  return flagNames(bits).toReversed();
}

/** Whether what was sent is what was expected: fields that are not told may be anything. */
export function matches(expected: SegmentText, sent: SegmentText): boolean {
  const told = (['ack', 'win', 'urg', 'ttl', 'tos'] as const).filter((name) => expected[name] !== undefined);
  return (
    expected.flags.join() === sent.flags.join() &&
    expected.first === sent.first &&
    expected.length === sent.length &&
    told.every((name) => expected[name] === sent[name]) &&
    (expected.options === undefined || sameOptions(expected.options, sent.options ?? []))
  );
}

function sameOptions(expected: readonly string[], sent: readonly string[]): boolean {
  if (expected.length !== sent.length) return false;
  return expected.every((option, at) => {
    const words = option.split(/\s+/);
    const got = (sent[at] ?? '').split(/\s+/);
    return words.length === got.length && words.every((word, i) => word === '*' || word === got[i]);
  });
}
