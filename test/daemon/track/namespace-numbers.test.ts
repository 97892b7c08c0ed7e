import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import * as assert from 'uvu/assert';
import { NAMESPACE_LIMITS } from '#contract';
import { CounterSums } from '../../../daemon/track/namespace-counters.ts';
import { NamespaceNumbers } from '../../../daemon/track/namespace-numbers.ts';
import { portRanges, readNamespaceSettings } from '../../../daemon/track/namespace-settings.ts';
import { summarizeNamespaces } from '../../../daemon/track/namespace-summary.ts';
import { spec } from '../../harness.ts';
import { makeTempDir } from '../../support/temp-dir.ts';

/** A /proc in which the counters of processes can be set. */
async function makeCounters() {
  const dir = await makeTempDir('counters');
  return {
    path: dir.path,
    write(pid: number, counters: Readonly<Record<string, number>>) {
      const folder = join(dir.path, String(pid), 'net');
      mkdirSync(folder, { recursive: true });
      const names = Object.keys(counters);
      const lines = `TcpExt: ${names.join(' ')}\nTcpExt: ${Object.values(counters).join(' ')}\nIpExt: InOctets\nIpExt: 7\n`;
      writeFileSync(join(folder, 'netstat'), lines);
      writeFileSync(join(folder, 'snmp'), 'Ip: InErrs\nIp: 9\nTcp: ActiveOpens InErrs\nTcp: 5 0\n');
    },
    [Symbol.asyncDispose]: () => dir[Symbol.asyncDispose](),
  };
}

const MEMORY = { pages: 1, orphans: 2, allocated: 3 };

spec('the counters of a namespace', (test) => {
  test('are totals, and rates from the second reading on', async () => {
    await using proc = await makeCounters();
    const numbers = new NamespaceNumbers(new CounterSums());
    proc.write(1, { ListenOverflows: 10, Unknown: 3, TW: 0 });
    numbers.readCounters(proc.path, 1, false, 1_000);
    assert.equal(numbers.counters.readings(), { ListenOverflows: { total: 10 }, ActiveOpens: { total: 5 } });
    proc.write(1, { ListenOverflows: 25, TW: 0 });
    numbers.readCounters(proc.path, 1, false, 3_000);
    assert.equal(numbers.counters.readings(), {
      ListenOverflows: { total: 25, perSecond: 7.5 },
      ActiveOpens: { total: 5, perSecond: 0 },
    });
  });

  test('of a quiet namespace are read every thirty seconds', async () => {
    await using proc = await makeCounters();
    const numbers = new NamespaceNumbers(new CounterSums());
    proc.write(1, { TW: 1 });
    numbers.readCounters(proc.path, 1, true, 1_000);
    proc.write(1, { TW: 2 });
    numbers.readCounters(proc.path, 1, true, 30_999);
    assert.is(numbers.counters.total('TW'), 1);
    numbers.readCounters(proc.path, 1, true, 31_000);
    assert.is(numbers.counters.total('TW'), 2);
    assert.is(numbers.counters.perSecond('TW'), 1 / 30);
    // Else the rate would be told for half a minute more.
    numbers.readCounters(proc.path, 1, true, 32_000);
    assert.is(numbers.counters.perSecond('TW'), 0);
    proc.write(1, { TW: 3 });
    numbers.readCounters(proc.path, 1, true, 33_000);
    assert.is(numbers.counters.total('TW'), 2);
  });

  test('stay as they were when their process goes, and take no harm from one that falls', async () => {
    await using proc = await makeCounters();
    const sums = new CounterSums();
    const numbers = new NamespaceNumbers(sums);
    proc.write(1, { TW: 100 });
    numbers.readCounters(proc.path, 1, false, 1_000);
    numbers.readCounters(proc.path, 2, false, 2_000);
    assert.is(numbers.counters.total('TW'), 100);
    proc.write(1, { TW: 3 });
    numbers.readCounters(proc.path, 1, false, 3_000);
    assert.is(numbers.counters.perSecond('TW'), 0);
    assert.is(sums.totals.get('TW'), undefined);
  });

  test('are told of the namespaces that lose most first, of the own one always, and in sum of all', async () => {
    await using proc = await makeCounters();
    const sums = new CounterSums();
    const namespace = (inode: number, overflows: readonly [number, number], inUse = 1) => {
      const numbers = new NamespaceNumbers(sums);
      numbers.sockstat = { inUse, timeWait: 0, memory: MEMORY };
      for (const [turn, ListenOverflows] of overflows.entries()) {
        proc.write(inode, { ListenOverflows });
        numbers.readCounters(proc.path, inode, false, 1_000 * (turn + 1));
      }
      return { inode, numbers };
    };
    const own = namespace(1, [0, 0]);
    const quiet = Array.from({ length: 40 }, (_, index) => namespace(100 + index, [0, 0]));
    const others = [...quiet, namespace(7, [1_000, 1_000]), namespace(8, [0, 4]), namespace(9, [5, 9], 0)];
    const { namespaces = [], namespacesFolded, counters, memory } = summarizeNamespaces(own, others, sums);
    assert.is(namespaces.length, NAMESPACE_LIMITS.namespaces);
    assert.equal(
      namespaces.slice(0, 3).map(({ inode, own: isOwn }) => [inode, isOwn]),
      [
        [1, true],
        [8, false],
        [7, false],
      ],
    );
    // One never had a socket.
    assert.is(namespacesFolded, 1 + others.length - 1 - NAMESPACE_LIMITS.namespaces);
    assert.equal(counters?.ListenOverflows, { total: 8, perSecond: 8 });
    assert.equal(memory, MEMORY);
  });
});

spec('the settings of a namespace', (test) => {
  test('are those that the kernel shows, the others are absent', async () => {
    await using root = await makeTempDir('sys');
    const write = (name: string, text: string) => {
      const path = join(root.path, 'net', name);
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, `${text}\n`);
    };
    write('ipv4/ip_local_port_range', '32768\t60999');
    write('ipv4/ip_local_reserved_ports', '');
    write('ipv4/tcp_tw_reuse', '2');
    write('ipv4/tcp_mem', '100\t200\t300');
    write('core/somaxconn', '4096');
    write('ipv4/tcp_fin_timeout', 'nonsense');
    write('netfilter/nf_conntrack_tcp_timeout_close_wait', '3600');
    assert.equal(readNamespaceSettings(root.path), {
      twReuse: 2,
      somaxconn: 4_096,
      portRange: { from: 32_768, to: 60_999 },
      reservedPorts: [],
      memoryPages: { low: 100, pressure: 200, high: 300 },
      conntrackTimeoutsS: { close_wait: 3_600 },
    });
  });

  test('hold reserved ports as ranges, as many as a report has room for', () => {
    assert.equal(portRanges('8080,9148-9150,9151'), [
      { from: 8_080, to: 8_080 },
      { from: 9_148, to: 9_151 },
    ]);
    const many = Array.from({ length: 200 }, (_, index) => 1_000 + 2 * index).join(',');
    assert.is(portRanges(many).length, NAMESPACE_LIMITS.portRanges);
  });
});
