import { syncBuiltinESMExports } from 'node:module';
import os from 'node:os';
import type { PassThrough } from 'node:stream';
import * as assert from 'uvu/assert';
import type { AddressFilter, TableColumn } from '../../cli/table.ts';
import {
  addressFilter,
  finwaitAddresses,
  passes,
  printConditions,
  printJson,
  printTable,
  sortableEnd,
  sorted,
} from '../../cli/table.ts';
import { spec } from '../harness.ts';
import { written } from './cli-run.ts';
import { caughtIo } from './tables-fixture.ts';

function filter(text: string): AddressFilter {
  const result = addressFilter(text);
  if (!result.ok) throw new Error(result.reason);
  return result.value;
}

interface Animal {
  readonly name: string;
  readonly legs: number;
}

const COLUMNS: readonly TableColumn<Animal>[] = [
  { title: 'NAME', drop: 0, min: 6, cell: ({ name }) => ({ text: name }) },
  { title: 'LEGS', align: 'right', drop: 1, cell: ({ legs }) => ({ text: String(legs), style: 'warn' }) },
  { title: 'NOTE', drop: 9, wide: true, cell: () => ({ text: 'a long note that is seldom wanted' }) },
];
const ROWS: readonly Animal[] = [
  { name: 'centipede', legs: 30 },
  { name: 'hippopotamus', legs: 4 },
];
const FOOTER = [[{ text: '2 animals' }]];

spec('what the table commands share', (test) => {
  test('an address filter is an address or a prefix, of either family', () => {
    assert.ok(filter('10.0.0.7').matches('10.0.0.7'));
    assert.not(filter('10.0.0.7').matches('10.0.0.8'));
    assert.ok(filter('10.0.0.0/8').matches('10.255.1.2'));
    assert.not(filter('10.0.0.0/8').matches('11.0.0.1'));
    assert.ok(filter('0.0.0.0/0').matches('1.2.3.4'));
    assert.not(filter('0.0.0.0/0').matches('::1'));
    assert.ok(filter('2001:db8::/32').matches('2001:db8:1::5'));
    assert.ok(filter('[::1]').matches('::1'));
    // Bits after the prefix do not matter, as with ip and ss.
    assert.ok(filter('10.1.2.3/8').matches('10.9.9.9'));
  });

  test('an address filter refuses what is neither', () => {
    for (const text of [
      '',
      'db',
      '10.0.0',
      '10.0.0.0/33',
      '::/129',
      '10.0.0.0/',
      '10.0.0.0/8/8',
      '10.0.0.0/-1',
    ]) {
      assert.not(addressFilter(text).ok, text);
    }
  });

  test('where the addresses of this machine may not be asked for, none is of finwait', () => {
    const { networkInterfaces } = os;
    os.networkInterfaces = () => {
      throw new Error('uv_interface_addresses returned Unknown system error 1');
    };
    syncBuiltinESMExports();
    try {
      assert.not(finwaitAddresses()('127.0.0.1'));
    } finally {
      os.networkInterfaces = networkInterfaces;
      syncBuiltinESMExports();
    }
  });

  test('a note is harmless whatever a process is named', () => {
    const io = caughtIo();
    const message = 'the descriptors of a\nb\u001b[31m/7 may not be read';
    printConditions(io, [{ code: 'PROCESS_NAMES_PARTIAL', message, hint: 'c\u009bd' }]);
    const text = written(io.stderr as PassThrough);
    assert.is(
      text,
      'finwait: note: PROCESS_NAMES_PARTIAL: the descriptors of a?b?[31m/7 may not be read\n  hint: c?d\n',
    );
  });

  test('no filter lets everything pass, several let pass what matches one', () => {
    assert.ok(passes([], () => false));
    assert.ok(passes([1, 2], (each) => each === 2));
    assert.not(passes([1, 2], (each) => each === 3));
  });

  test('sorting keeps the order of equals and puts the unknown last in both directions', () => {
    const rows = [
      { id: 'a', value: 2 },
      { id: 'b', value: undefined },
      { id: 'c', value: 1 },
      { id: 'd', value: 2 },
    ];
    const ids = (reverse: boolean) =>
      sorted(rows, (row) => row.value, reverse)
        .map(({ id }) => id)
        .join('');
    assert.is(ids(false), 'cadb');
    assert.is(ids(true), 'adcb');
  });

  test('addresses sort by their numbers', () => {
    const addresses = ['2001:db8::1', '10.0.0.10', '10.0.0.9', '9.0.0.0', '::1'];
    const key = (address: string) => sortableEnd({ address, port: 1 });
    assert.equal(
      addresses.toSorted((a, b) => (key(a) < key(b) ? -1 : 1)),
      ['9.0.0.0', '10.0.0.9', '10.0.0.10', '::1', '2001:db8::1'],
    );
    assert.ok(sortableEnd({ address: '::1', port: 9 }) < sortableEnd({ address: '::1', port: 10 }));
  });

  test('in a pipe a table is whole, without colours', () => {
    const io = caughtIo();
    printTable(io, { columns: COLUMNS, rows: ROWS, footer: FOOTER }, { output: 'table', noHeader: false });
    assert.equal(io.lines(), ['NAME          LEGS', 'centipede       30', 'hippopotamus     4', '2 animals']);
  });

  test('--output wide shows every column, whatever the terminal', () => {
    const io = caughtIo(20, { LANG: 'C.UTF-8', NO_COLOR: '1' });
    printTable(io, { columns: COLUMNS, rows: ROWS, footer: FOOTER }, { output: 'wide', noHeader: false });
    assert.is(io.lines()[1], 'centipede       30  a long note that is seldom wanted');
  });

  test('--no-header leaves the rows alone', () => {
    const io = caughtIo();
    printTable(io, { columns: COLUMNS, rows: ROWS, footer: FOOTER }, { output: 'table', noHeader: true });
    assert.equal(io.lines(), ['centipede       30', 'hippopotamus     4']);
  });

  test('on a terminal no line is longer than it: texts are cut, then columns go', () => {
    for (let columns = 1; columns <= 30; columns++) {
      const io = caughtIo(columns, { LANG: 'C.UTF-8', NO_COLOR: '1' });
      printTable(io, { columns: COLUMNS, rows: ROWS, footer: FOOTER }, { output: 'table', noHeader: false });
      for (const line of io.lines())
        assert.ok(line.length <= columns, `${JSON.stringify(line)} at ${columns}`);
    }
    const io = caughtIo(12, { LANG: 'C.UTF-8', NO_COLOR: '1' });
    printTable(io, { columns: COLUMNS, rows: ROWS, footer: FOOTER }, { output: 'table', noHeader: false });
    assert.equal(io.lines(), ['NAME    LEGS', 'centi…    30', 'hippo…     4', '2 animals']);
  });

  test('what is written over in place keeps to the terminal, and says what is left out', () => {
    const rows = Array.from({ length: 50 }, (_, legs) => ({ name: 'ant', legs }));
    const print = (lines: number, count: number, watch = true) => {
      const io = { ...caughtIo(80, { LANG: 'C.UTF-8', NO_COLOR: '1' }), rows: lines };
      const settings = { output: 'table', noHeader: false, watch } as const;
      printTable(io, { columns: COLUMNS, rows: rows.slice(0, count), footer: FOOTER }, settings);
      return io.lines();
    };
    const lines = print(10, 50);
    // One line is for the cursor.
    assert.is(lines.length, 9);
    assert.match(lines.at(-2) ?? '', /^\+ 44 more: /);
    assert.is(lines.at(-1), '2 animals');
    assert.is(print(10, 7).length, 9);
    assert.is(print(10, 50, false).length, 52);
  });

  test('JSON is an array of objects, in one line each time when it comes again and again', async () => {
    for (const values of [[], [{ a: 1 }], Array.from({ length: 250 }, (_, at) => ({ at, more: [at] }))]) {
      const io = caughtIo();
      await printJson(io, values);
      assert.is(io.lines().join('\n'), JSON.stringify(values, null, 2));
      await printJson(io, values, { watch: true });
      assert.equal(io.lines(), [JSON.stringify(values)]);
    }
  });

  test('rows are made as fast as they are read, and not at all when nobody reads any more', async () => {
    const made = { rows: 0 };
    const columns = [{ title: 'N', drop: 0, cell: (n: number) => ({ text: String(n), made: made.rows++ }) }];
    const rows = Array.from({ length: 100_000 }, (_, n) => n);
    const io = caughtIo();
    const printed = printTable(io, { columns, rows, footer: [] }, { output: 'table', noHeader: true });
    // Each row is looked at once for its width.
    const waiting = made.rows - rows.length;
    assert.ok(waiting < rows.length / 2, String(waiting));
    let read = '';
    for await (const chunk of io.stdout as PassThrough) {
      read += String(chunk);
      if (read.split('\n').length > rows.length) break;
    }
    await printed;
    assert.is(read.split('\n').at(-2), '99999');

    const gone = caughtIo();
    const broken = printTable(gone, { columns, rows, footer: [] }, { output: 'table', noHeader: true });
    made.rows = 0;
    (gone.stdout as PassThrough).destroy();
    await broken;
    assert.ok(made.rows < rows.length / 2, String(made.rows));
  });

  test('colours are for terminals that want them', () => {
    const print = (columns: number | undefined, env: Record<string, string>) => {
      const io = caughtIo(columns, env);
      printTable(io, { columns: COLUMNS, rows: ROWS, footer: FOOTER }, { output: 'table', noHeader: false });
      return io.lines().join('\n').includes('\x1b[');
    };
    assert.ok(print(80, {}));
    assert.not(print(80, { NO_COLOR: '1' }));
    assert.not(print(80, { TERM: 'dumb' }));
    assert.not(print(undefined, {}));
  });

  test('what a process calls itself cannot move the cursor', () => {
    const io = caughtIo(80);
    const rows = [{ name: '\x1b[2Jevil\n', legs: 6 }];
    printTable(io, { columns: COLUMNS, rows, footer: [] }, { output: 'table', noHeader: true });
    const lines = io.lines();
    assert.is(lines.length, 1);
    assert.is(lines.join().includes('\x1b[2J'), false);
  });
});
