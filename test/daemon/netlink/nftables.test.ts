import * as assert from 'uvu/assert';
import type { Decoded } from '#base/result.ts';
import { decodeAttributes, decodeMessages } from '../../../daemon/netlink/message.ts';
import {
  decodeChain,
  decodeTable,
  deleteTable,
  encodeBatch,
  masquerade,
  matchDevice,
  matchSource,
  newBaseChain,
  newRule,
  newTable,
  setCtMark,
} from '../../../daemon/netlink/nftables.ts';
import { spec, testSeed } from '../../harness.ts';
import { hostile, seededRandom } from './mutate.ts';

/** Payloads as Linux 6.18 sent them. */
const RECORDED = {
  /** `table ip filter` */
  table: hex('020000020b00010066696c746572000008000300000000020c00040000000000000000010800020000000000'),
  /** `chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }` */
  forward: hex(
    '020000020b00010066696c74657200000c000300464f5257415244000c0002000000000000000001140004000800010000000002' +
      '080002000000000008000500000000000b00070066696c746572000008000a00000000010800060000000000',
  ),
  /** `chain ip filter plain` */
  plain: hex(
    '020000020b00010066696c74657200000a000300706c61696e0000000c00020000000000000000020800060000000000',
  ),
} as const;

spec('nftables messages', (test) => {
  test('tables and chains as the kernel sends them', () => {
    assert.equal(value(decodeTable(RECORDED.table)), { family: 2, name: 'filter', owner: undefined });
    assert.equal(value(decodeChain(RECORDED.forward)), {
      family: 2,
      table: 'filter',
      name: 'FORWARD',
      type: 'filter',
      hook: 2,
      policy: 'drop',
    });
    assert.is(value(decodeChain(RECORDED.plain)), undefined, 'it stands in no hook');
  });

  test('a table that has an owner names it', () => {
    const owned = Uint8Array.from([...RECORDED.table, 8, 0, 7, 0, 0xfe, 0xdc, 0xba, 0x98]);
    assert.is(value(decodeTable(owned)).owner, 0xfedcba98);
  });

  test('a batch is one transaction: begin and end around its commands, each acknowledged', () => {
    let seq = 41;
    const { datagram, seqs, acks } = encodeBatch(
      [newTable('finwait', true), deleteTable('finwait')],
      () => ++seq,
    );
    const messages = value(decodeMessages(datagram));
    // Subsystem 10 is nftables; begin and end name it in their resource id, big-endian.
    assert.equal(
      messages.map((message) => [message.type, message.flags, message.seq]),
      [
        [16, 0x1, 42],
        [0xa00, 0x605, 43],
        [0xa02, 0x5, 44],
        [17, 0x1, 45],
      ],
    );
    assert.equal(messages[0]?.payload, Uint8Array.of(0, 0, 0, 10));
    assert.equal(
      [seqs, acks],
      [
        [42, 43, 44, 45],
        [43, 44],
      ],
    );
  });

  test('an owned table says so, one of an older kernel does not', () => {
    const flags = (owned: boolean) =>
      value(decodeAttributes(newTable('finwait', owned).payload, 4)).find(({ type }) => type === 2)?.payload;
    assert.equal(flags(true), Uint8Array.of(0, 0, 0, 2));
    assert.is(flags(false), undefined);
  });

  test('no input makes a decoder throw', () => {
    const random = seededRandom(testSeed());
    const commands = [
      newBaseChain('finwait', { name: 'x', type: 'nat', hook: 'postrouting', priority: 100 }).payload,
      newRule('finwait', 'x', [
        ...matchDevice('iifname', true, 'finwait0'),
        ...matchSource(new Uint8Array(16)),
        ...setCtMark(1),
        ...masquerade(),
      ]).payload,
    ];
    const samples = [...Object.values(RECORDED), ...commands];
    for (let i = 0; i < 100_000; i++) {
      const bytes = hostile(samples, random);
      for (const decode of [decodeTable, decodeChain]) {
        const result = decode(bytes);
        if (!result.ok) assert.ok(result.reason.length > 0);
      }
    }
  });
});

function value<T>(result: Decoded<T>): T {
  if (!result.ok) throw new Error(result.reason);
  return result.value;
}

function hex(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'hex'));
}
