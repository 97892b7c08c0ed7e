import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import * as assert from 'uvu/assert';
import { readSettings } from '#base/settings.ts';
import { TCP_STATES } from '#contract';
import { groupSockets, sortGroups } from '../../cli/sockets-groups.ts';
import type { SocketRow } from '../../cli/sockets-rows.ts';
import { selectSockets, sortSockets } from '../../cli/sockets-rows.ts';
import type { SocketGrouping, SocketRowKey } from '../../cli/sockets-settings.ts';
import { SOCKETS_SETTINGS } from '../../cli/sockets-settings.ts';
import { socketGroupsFooter, socketsFooter } from '../../cli/sockets-totals.ts';
import { groupColumns, localText, peerText, socketColumns } from '../../cli/sockets-view.ts';
import { printTable } from '../../cli/table.ts';
import { spec } from '../harness.ts';
import { startOperator } from '../support/operator.ts';
import { cliRun } from './cli-run.ts';
import { caughtIo, socket } from './tables-fixture.ts';

const nginx = { pid: 7, name: 'nginx' };
const javaA = { pid: 20, name: 'java' };
const javaB = { pid: 3, name: 'java' };

const ROWS: readonly SocketRow[] = [
  socket({
    state: 'LISTEN',
    local: { address: '::', port: 80 },
    peer: { address: '::', port: 0 },
    family: 6,
    process: nginx,
    direction: 'inbound',
    recvQueue: 3,
    sendQueue: 128,
    dualStack: true,
  }),
  socket({
    local: { address: '10.0.0.1', port: 80 },
    peer: { address: '10.0.0.9', port: 50_000 },
    direction: 'inbound',
    process: nginx,
    recvQueue: 10,
  }),
  socket({
    state: 'CLOSE-WAIT',
    process: javaA,
    peer: { address: '10.9.0.1', port: 5432 },
    ageMs: 700_000,
    ageBasis: 'last-ack',
    recvQueue: 1,
  }),
  socket({
    state: 'CLOSE-WAIT',
    process: javaB,
    peer: { address: '10.9.0.1', port: 5432 },
    ageMs: 5_000,
    ageBasis: 'last-ack',
  }),
  socket({
    state: 'TIME-WAIT',
    process: null,
    attribution: 'unknown',
    ageMs: 30_000,
    ageBasis: 'time-wait-timer',
    inode: 0,
    peer: { address: '10.9.0.2', port: 443 },
  }),
  socket({
    state: 'TIME-WAIT',
    process: nginx,
    attribution: 'listener',
    ageMs: 40_000,
    ageBasis: 'time-wait-timer',
    inode: 0,
    local: { address: '2001:db8::1', port: 80 },
    peer: { address: '2001:db8::2', port: 50_001 },
    family: 6,
    direction: 'inbound',
    own: true,
  }),
];

const NO_MEMORY = {
  receive: 0,
  receiveLimit: 0,
  send: 0,
  sendLimit: 0,
  forward: 0,
  queued: 0,
  options: 0,
  backlog: 0,
  drops: 0,
};

const TOTALS = { selected: ROWS, total: 9 };

function select(...args: readonly string[]): string {
  const selected = selectSockets(ROWS, readSettings(SOCKETS_SETTINGS, args, {}).settings);
  return selected.map((row) => ROWS.indexOf(row)).join('');
}

function order(key: SocketRowKey | undefined, reverse = false): string {
  return sortSockets(ROWS, key, reverse)
    .map((row) => ROWS.indexOf(row))
    .join('');
}

spec('finwait sockets', (test) => {
  test('shows everything but listeners unless told otherwise', () => {
    assert.is(select(), '12345');
    assert.is(select('--state', 'all'), '012345');
    assert.is(select('--listening'), '0');
    assert.is(select('-l'), '0');
  });

  test('takes states in RFC, ss and kernel spelling, several at once', () => {
    for (const spelling of ['TIME-WAIT', 'time-wait', 'TIME_WAIT', 'timewait', 'Time-Wait']) {
      assert.is(select('--state', spelling), '45', spelling);
    }
    assert.is(select('-s', 'close-wait,estab'), '123');
    assert.is(select('-s', 'close-wait', '-s', 'listen'), '023');
    assert.is(select('-s', 'bucket'), '45');
    // Each state by its own name.
    for (const state of TCP_STATES) {
      const { settings } = readSettings(SOCKETS_SETTINGS, ['-s', state.toLowerCase()], {});
      assert.equal(settings.state, [state]);
    }
  });

  test('filters by process, address, port, family, age and ownership, and joins filters', () => {
    assert.is(select('--process', 'JAV'), '23');
    assert.is(select('--process', '3'), '3');
    assert.is(select('--process', 'unknown'), '4');
    assert.is(select('-p', 'nginx,unknown'), '145');
    assert.is(select('--address', '10.9.0.0/16'), '234');
    assert.is(select('-a', '10.0.0.9,2001:db8::/32'), '15');
    assert.is(select('--port', '80'), '15');
    assert.is(select('--peer-port', '5432,443'), '234');
    assert.is(select('--local-port', '40000'), '234');
    assert.is(select('--local', '2001:db8::/32,10.0.0.1'), '12345');
    assert.is(select('--peer', '10.9.0.1'), '23');
    assert.is(select('--exclude', 'close-wait,estab'), '45');
    assert.is(select('-s', 'all', '--exclude', 'listen,time-wait'), '123');
    assert.is(select('-4'), '1234');
    assert.is(select('-6'), '5');
    assert.is(select('-4', '-6'), '12345');
    assert.is(select('--min-age', '30s'), '245');
    assert.is(select('--own'), '5');
    assert.is(select('--not-own'), '1234');
    assert.is(select('-s', 'close-wait', '--min-age', '10m', '--process', 'java'), '2');
  });

  test('orders by state and age of itself, and by any key both ways', () => {
    assert.is(order(undefined), '012354');
    assert.is(order('age'), '254301');
    assert.is(order('age', true), '345201');
    // By name, then by number; what is not known comes last.
    assert.is(order('process'), '320154');
    assert.is(order('recv-q'), '102345');
    assert.is(order('recv-q', true), '345201');
    assert.is(order('peer'), '123405');
    assert.is(order('local'), '123405');
    assert.is(order('state', true), '452310');
  });

  test('has an order for every column but the cookie', () => {
    const titles = [
      ...socketColumns(ROWS, { allNamespaces: true }),
      ...socketColumns(ROWS, { listening: true }),
    ].map(({ title }) => title);
    const named: Record<string, string> = {
      ...{ 'ACCEPT-Q': 'recv-q', BACKLOG: 'send-q', RETRANS: 'retransmits' },
      ...{ SHUT: 'shutdown', CC: 'congestion', MEM: 'memory' },
    };
    for (const title of new Set(titles)) {
      if (title === 'SK') continue;
      const key = named[title] ?? title.toLowerCase();
      const { settings } = readSettings(SOCKETS_SETTINGS, ['--sort', key], {});
      assert.is(sortSockets(ROWS, settings.sort as Parameters<typeof order>[0], false).length, ROWS.length);
    }
    const [a, b, c] = [
      socket({ podName: 'b/x', pod: { uid: '1' }, lastDataReceivedMs: 5, netns: 9 }),
      socket({ podName: null, pod: { uid: 'a' }, lastDataReceivedMs: 50, netns: 8 }),
      socket({ lastDataReceivedMs: null, netns: 7 }),
    ];
    const sortedBy = (key: SocketRowKey) => sortSockets([a, b, c], key, false);
    assert.equal(sortedBy('pod'), [b, a, c]);
    assert.equal(sortedBy('last-recv'), [b, a, c]);
    assert.equal(sortedBy('netns'), [c, b, a]);
  });

  test('groups by process with the states of each, the largest first', () => {
    const groups = sortGroups(groupSockets(ROWS.slice(1), 'process'), undefined, false);
    assert.equal(
      groups.map(({ process, count, states, ageMs, attribution }) => ({
        name: process?.name,
        count,
        states,
        ageMs,
        attribution,
      })),
      [
        {
          name: 'nginx',
          count: 2,
          states: { ESTABLISHED: 1, 'TIME-WAIT': 1 },
          ageMs: 40_000,
          attribution: 'socket',
        },
        { name: 'java', count: 1, states: { 'CLOSE-WAIT': 1 }, ageMs: 700_000, attribution: 'socket' },
        { name: 'java', count: 1, states: { 'CLOSE-WAIT': 1 }, ageMs: 5_000, attribution: 'socket' },
        { name: undefined, count: 1, states: { 'TIME-WAIT': 1 }, ageMs: 30_000, attribution: 'unknown' },
      ],
    );
  });

  test('groups by destination: the service is at the other end outbound, at this end inbound', () => {
    const groups = groupSockets(ROWS.slice(1), 'destination');
    assert.equal(
      groups.map(({ direction, peer, port, count }) => `${direction} ${peer} ${port} ${count}`),
      [
        'inbound 10.0.0.9 80 1',
        'outbound 10.9.0.1 5432 2',
        'outbound 10.9.0.2 443 1',
        'inbound 2001:db8::2 80 1',
      ],
    );
  });

  test('groups by state', () => {
    assert.equal(
      groupSockets(ROWS, 'state').map(({ states, count }) => `${Object.keys(states)} ${count}`),
      ['LISTEN 1', 'ESTABLISHED 1', 'CLOSE-WAIT 2', 'TIME-WAIT 2'],
    );
  });

  test('prints a line each, with what the marks mean below', () => {
    const io = caughtIo();
    const rows = sortSockets(ROWS, undefined, false);
    printTable(
      io,
      { columns: socketColumns(rows, {}), rows, footer: socketsFooter(rows, { selected: ROWS, total: 9 }) },
      { output: 'table', noHeader: false },
    );
    assert.equal(io.lines(), [
      'STATE        RECV-Q  SEND-Q  LOCAL             PEER                  PROCESS        AGE',
      'LISTEN            3     128  *:80              -                     nginx/7          -',
      'ESTABLISHED      10       0  10.0.0.1:80       10.0.0.9:50000        nginx/7          -',
      'CLOSE-WAIT        1       0  10.0.0.1:40000    10.9.0.1:5432         java/20    11m40s+',
      'CLOSE-WAIT        0       0  10.0.0.1:40000    10.9.0.1:5432         java/3         5s+',
      'TIME-WAIT         0       0  [2001:db8::1]:80  [2001:db8::2]:50001*  (nginx/7)      40s',
      'TIME-WAIT         0       0  10.0.0.1:40000    10.9.0.2:443          -              30s',
      '6 of 9 sockets: 1 LISTEN, 1 ESTABLISHED, 2 CLOSE-WAIT, 2 TIME-WAIT',
      '(name/pid): the process that listens on the local port',
      'age+: at least; the last segment of the peer came then',
      '*: of finwait itself, or the other end of one of its probes',
    ]);
  });

  test('on a terminal columns go and names are cut, but never an address or its port', () => {
    const io = (columns: number) => caughtIo(columns, { LANG: 'C.UTF-8', NO_COLOR: '1' });
    const plain = { output: 'table', noHeader: false } as const;
    for (const columns of [20, 40, 60, 80, 100, 132]) {
      for (const [rows, settings] of [
        [ROWS, {}],
        [ROWS, { allNamespaces: true }],
        [ROWS.slice(0, 1), { listening: true }],
      ] as const) {
        const caught = io(columns);
        printTable(caught, { columns: socketColumns(rows, settings), rows, footer: [] }, plain);
        const [header = '', ...lines] = caught.lines();
        for (const [at, row] of rows.entries()) {
          assert.ok(lines[at]?.includes(localText(row)), `${columns}: ${lines[at]}`);
          if (row.state !== 'LISTEN')
            assert.ok(lines[at]?.includes(peerText(row)), `${columns}: ${lines[at]}`);
        }
        const isCut = header.length > columns;
        assert.ok(!isCut || !/RECV-Q|ACCEPT-Q|POD|NETNS|AGE/.test(header), `${columns}: ${header}`);
      }
      for (const by of ['process', 'port', 'state', 'pod', 'container', 'namespace'] as const) {
        const caught = io(columns);
        const rows = groupSockets(ROWS, by);
        printTable(caught, { columns: groupColumns(by), rows, footer: [] }, plain);
        for (const line of caught.lines())
          assert.ok(line.length <= columns, `${line.length} > ${columns}: ${line}`);
      }
    }
    // Written over in place, a longer line would push another one out.
    const watched = io(40);
    printTable(
      watched,
      { columns: socketColumns(ROWS, {}), rows: ROWS, footer: [] },
      { ...plain, watch: true },
    );
    for (const line of watched.lines()) assert.ok(line.length <= 40, line);
  });

  test('on a terminal queues that are empty go before others', () => {
    const header = (rows: readonly SocketRow[]) => {
      const io = caughtIo(88, { LANG: 'C.UTF-8', NO_COLOR: '1' });
      const columns = socketColumns(rows, { allNamespaces: true });
      printTable(io, { columns, rows, footer: [] }, { output: 'table', noHeader: false });
      return io.lines()[0] ?? '';
    };
    assert.match(header([socket()]), /NETNS/);
    assert.not.match(header([socket()]), /SEND-Q/);
    assert.match(header([socket({ recvQueue: 1, sendQueue: 1 })]), /RECV-Q {2}SEND-Q/);
  });

  test('the column that rows are sorted by is shown', () => {
    const shown = (sort: SocketRowKey) =>
      socketColumns(ROWS, { sort })
        .filter(({ wide }) => wide !== true)
        .map(({ title }) => title);
    const always = socketColumns(ROWS, {}).filter(({ wide }) => wide !== true);
    for (const [key, title] of [
      ['retransmits', 'RETRANS'],
      ['rtt', 'RTT'],
      ['memory', 'MEM'],
      ['drops', 'DROPS'],
      ['last-recv', 'LAST-RECV'],
      ['pod', 'POD'],
    ] as const) {
      assert.ok(shown(key).includes(title), key);
      assert.not(
        always.some((column) => column.title === title),
        key,
      );
    }
  });

  test('listeners that dropped connections, or whose queue is full, come first and are marked', () => {
    const listener = (port: number, drops: number, recvQueue: number) =>
      socket({
        state: 'LISTEN',
        local: { address: '10.0.0.1', port },
        recvQueue,
        sendQueue: 5,
        memory: { ...NO_MEMORY, drops },
      });
    const rows = sortSockets([listener(1, 0, 5), listener(2, 0, 6), listener(3, 154, 0)], undefined, false);
    assert.equal(
      rows.map(({ local }) => local.port),
      [3, 2, 1],
    );
    const io = caughtIo();
    const columns = socketColumns(rows, { listening: true });
    const footer = socketsFooter(rows, { selected: rows, total: undefined });
    printTable(io, { columns, rows, footer }, { output: 'table', noHeader: false });
    assert.equal(io.lines(), [
      'STATE   ACCEPT-Q  BACKLOG  DROPS  LOCAL       PROCESS',
      'LISTEN         0        5    154  10.0.0.1:3  curl/100',
      'LISTEN         6        5      0  10.0.0.1:2  curl/100',
      'LISTEN         5        5      0  10.0.0.1:1  curl/100',
      '3 sockets: 3 LISTEN',
      'drops: since it listens; a full accept queue drops what comes next',
    ]);
    const titles = socketColumns(rows.slice(1), { listening: true });
    assert.equal(
      titles.filter(({ wide }) => wide).map(({ title }) => title),
      ['CC', 'MEM', 'DROPS', 'SK', 'UID', 'INODE'],
    );
  });

  test('below groups only marks that are in the table are explained', () => {
    const text = (by: SocketGrouping) =>
      socketGroupsFooter(groupSockets(ROWS, by), by, TOTALS)
        .flat()
        .map(({ text: each }) => each)
        .join('\n');
    assert.match(text('process'), /-: no process has sockets in TIME-WAIT any more; --by destination/);
    for (const by of ['destination', 'port', 'state', 'container'] as const)
      assert.not.match(text(by), /\(name\/pid\)|\*:|TIME-WAIT any more/);
    assert.not.match(
      socketsFooter([socket({ state: 'LISTEN', own: true })], TOTALS)
        .flat()
        .map(({ text: each }) => each)
        .join('\n'),
      /\*:/,
    );
  });

  test('groups by the port of the service, whoever the peers are', () => {
    assert.equal(
      groupSockets(ROWS.slice(1), 'port').map(({ direction, peer, port, count }) => [
        direction,
        peer,
        port,
        count,
      ]),
      [
        ['inbound', null, 80, 2],
        ['outbound', null, 5432, 2],
        ['outbound', null, 443, 1],
      ],
    );
  });

  test('tells every fault of the command line, with exit code 2', async () => {
    for (const [args, says] of [
      [['--state', 'waiting'], /--state: "waiting" is not a TCP state/],
      [['--address', 'db.example'], /--address: "db.example" is neither an address nor ADDRESS\/LENGTH/],
      [['--port', '70000'], /--port: "70000" is not a whole number from 0 to 65535/],
      [['--sort', 'size'], /--sort: "size" is not one of state, age/],
      [['--by', 'node'], /--by: "node" is not one of process, destination, port, state, pod/],
      [['-E', '--by', 'state'], /--events goes with filters, --netns and --limit only/],
      [['-A', '--netns', '/proc/self/ns/net'], /--all-namespaces and --netns exclude each other/],
      [['--netns', 'no-such-fw'], /"no-such-fw" is no network namespace: not in \/run\/netns/],
      [['dport', 'gt', ':80'], /unexpected "dport gt"/],
      [['-s'], /unknown option -s without a state/],
      [['--counters', '--by', 'state'], /--counters and --by exclude each other/],
      [['destroy', '10.0.0.1:1'], /it takes LOCAL, PEER and --cookie/],
      [['destroy', '10.0.0.1:1', 'here', '--cookie', '1'], /"here" is not ADDRESS:PORT/],
      [['destroy', '10.0.0.1:1', '10.0.0.1:2', '--cookie', 'x'], /--cookie: "x" is not a hexadecimal/],
      [['--lmit', '3'], /unknown option --lmit \(did you mean --limit\?\)/],
      [['-x'], /unknown option -x/],
      [['nginx'], /unexpected "nginx"/],
      [['-l', '-s', 'estab'], /--listening and --state exclude each other/],
      [['--sort', 'count'], /--sort count needs --by/],
      [['--by', 'state', '--sort', 'rtt'], /--sort rtt does not go with --by/],
    ] as const) {
      const { code, stdout, stderr } = await cliRun(['sockets', ...args]);
      assert.is(code, 2, args.join(' '));
      assert.is(stdout, '');
      assert.match(stderr, says);
    }
  });

  test('destroy takes ends as the tables show them', async () => {
    for (const [host, ends] of [
      [undefined, (port: number) => [`*:${port}`, '-']],
      ['127.0.0.1', (port: number) => [`127.0.0.1%lo:${port}*`, '-']],
      ['::1', (port: number) => [`[::1%lo]:${port}`, '[::]:0']],
    ] as const) {
      await using server = createServer();
      await once(server.listen(0, host), 'listening');
      const { port } = server.address() as AddressInfo;
      const { stdout } = await cliRun(['sockets', '-l', '--json', '--port', String(port)]);
      const [row] = JSON.parse(stdout) as SocketRow[];
      const told = await cliRun(['sockets', 'destroy', ...ends(port), '--cookie', row?.cookie ?? '']);
      assert.match(told.stdout, /^would destroy LISTEN /, told.stderr);
    }
  });

  test("knows finwait's own programs by their names", async () => {
    await using operator = await startOperator();
    const { stdout } = await cliRun(['sockets', '-l', '--own', '--json', '--port', String(operator.webPort)]);
    const [row] = JSON.parse(stdout) as SocketRow[];
    // The kernel keeps 15 characters of a name.
    assert.equal(row?.process, { pid: operator.child.pid, name: 'finwait operato' });
  });

  test('prints an array of objects with --json, empty when nothing passes', async () => {
    const { code, stdout } = await cliRun(['sockets', '--json', '--process', 'no-such-process-name']);
    assert.is(code, 0);
    assert.equal(JSON.parse(stdout), []);
  });
});
