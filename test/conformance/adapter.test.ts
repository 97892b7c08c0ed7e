import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { ip } from '../daemon/wire/support.ts';
import { spec } from '../harness.ts';
import { runProgram } from '../support/child.ts';
import { makeTempDir, type TempDir } from '../support/temp-dir.ts';
import { AdapterClient, endAdapterProcess, startAdapterProcess } from './client.ts';
import { ERRNO } from './errno-numbers.ts';
import { decodeReply, encodeRequest, FrameReader, OP, type Reply } from './frames.ts';
import { int32s } from './option-codec.ts';
import { runScript, ScriptFailure } from './run-script.ts';
import { parseScript } from './script.ts';
import { packetOf, segmentOf } from './segment-bytes.ts';
import { parseSegment } from './segment-text.ts';
import { startAdapter } from './server.ts';
import { AF_INET, AF_INET6, type Endpoint, encodeSockaddr } from './sockaddr.ts';
import { World } from './world.ts';

const REMOTE = encodeSockaddr({ address: ip('192.0.2.1'), port: 80 }, 4);
const LOCAL = encodeSockaddr({ address: ip('192.168.0.1'), port: 8080 }, 4);
const O_NONBLOCK = 0x800;

/** ::ffff:a.b.c.d */
function mapped(peer: Endpoint): Uint8Array {
  const bytes = encodeSockaddr(peer, 6);
  assert.equal([...bytes.subarray(8, 20)], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]);
  return bytes;
}

spec('adapter', (test) => {
  let folder: TempDir;
  let adapter: ChildProcess;
  let path: string;

  test.before(async () => {
    folder = await makeTempDir('adapter');
    path = join(folder.path, 'adapter');
    adapter = await startAdapterProcess(path, ['--profile', 'linux']);
  });
  test.after(async () => {
    await endAdapterProcess(adapter);
    assert.not(existsSync(path), 'the socket is gone with the process');
    await folder[Symbol.asyncDispose]();
  });

  async function withClient(act: (client: AdapterClient) => Promise<void>): Promise<void> {
    const client = new AdapterClient(path);
    try {
      await act(client);
      await client.call(OP.done);
    } finally {
      client.close();
    }
  }

  /** Sends bytes as they are and answers the replies that come back to them. */
  async function raw(bytes: Uint8Array, replies: number): Promise<Reply[]> {
    const stream = connect(path);
    await once(stream, 'connect');
    const reader = new FrameReader();
    const got: Reply[] = [];
    stream.write(bytes);
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      for (const frame of reader.push(chunk)) if (frame !== undefined) got.push(decodeReply(frame));
      if (got.length >= replies) break;
    }
    return got;
  }

  const sleep = (nowUs: number, us: number) =>
    encodeRequest({ op: OP.sleep, nowUs, args: [us, 0, 0, 0], blob: new Uint8Array(0) });

  test('speaks the frames to the byte', async () => {
    // length 44, op 17, now 5, a0 7, a1 to a3 0
    const request = Buffer.from(
      `2c000000${'11000000'}${'0500000000000000'}${'0700000000000000'}${'00'.repeat(24)}`,
      'hex',
    );
    const stream = connect(path);
    stream.write(request);
    const [reply] = await once(stream, 'data');
    stream.destroy();
    // length 20, errno 0, time 12, result 0
    assert.is(reply.toString('hex'), `14000000${'00000000'}${'0c00000000000000'}${'0000000000000000'}`);
  });

  test('answers a frame that is too short, and one with numbers beyond any clock, with EINVAL', async () => {
    const short = Uint8Array.of(3, 0, 0, 0, 1, 2, 3);
    const empty = Uint8Array.of(0, 0, 0, 0);
    const wild = sleep(0, 0);
    wild.fill(0x7f, 8, 16);
    const got = await raw(Buffer.concat([short, empty, wild, sleep(5, 1)]), 4);
    assert.equal(
      got.map(({ errno, result }) => [errno, result]),
      [
        [ERRNO.EINVAL, -1],
        [ERRNO.EINVAL, -1],
        [ERRNO.EINVAL, -1],
        [0, 0],
      ],
    );
  });

  test('passes over a frame that is too long and goes on', async () => {
    const long = new Uint8Array(4 + 17 * 1024 * 1024);
    new DataView(long.buffer).setUint32(0, long.length - 4, true);
    const got = await raw(Buffer.concat([long, sleep(0, 7)]), 2);
    assert.equal(
      got.map(({ errno }) => errno),
      [ERRNO.EINVAL, 0],
    );
  });

  test('answers an operation that it does not know with ENOSYS', () =>
    withClient(async (client) => {
      for (const op of [0, 19, 4_000_000_000]) {
        const { errno, result } = await client.call(op);
        assert.is(errno, ERRNO.ENOSYS);
        assert.is(result, -1);
      }
    }));

  test('keeps a clock that never runs behind what it is told, and never back', () =>
    withClient(async (client) => {
      client.nowUs = 5_000;
      assert.is((await client.call(OP.sleep, [250])).timeUs, 5_250);
      client.nowUs = 4_000;
      assert.is((await client.call(OP.sleep, [0])).timeUs, 5_250);
      client.nowUs = 9_000;
      assert.is((await client.call(OP.sleep, [0])).timeUs, 9_000);
    }));

  test('begins again at zero after DONE', () =>
    withClient(async (client) => {
      client.nowUs = 1_000_000;
      await client.call(OP.socket, [3, AF_INET, 1, 0]);
      await client.call(OP.done);
      client.nowUs = 0;
      assert.is((await client.call(OP.sleep, [0])).timeUs, 0);
      assert.is((await client.call(OP.listen, [3, 1])).errno, ERRNO.EBADF);
    }));

  test('says when a packet left, and runs the timers to the next one', () =>
    withClient(async (client) => {
      await client.call(OP.socket, [3, AF_INET, 1 | O_NONBLOCK, 0]);
      assert.is((await client.call(OP.connect, [3], REMOTE)).errno, ERRNO.EINPROGRESS);
      client.nowUs = 400_000;
      assert.is((await client.call(OP.nextPacket)).timeUs, 0, 'the SYN left when connect was called');
      assert.is((await client.call(OP.nextPacket)).timeUs, 1_000_000, 'and again after the RTO');
      client.nowUs = 0;
      assert.is((await client.call(OP.sleep, [0])).timeUs, 1_000_000);
    }));

  test('says EAGAIN when no packet can ever come', () =>
    withClient(async (client) => {
      const { errno, result } = await client.call(OP.nextPacket);
      assert.is(errno, ERRNO.EAGAIN);
      assert.is(result, -1);
    }));

  test('sends the same packets each time', async () => {
    const packets: string[] = [];
    for (let times = 0; times < 2; times += 1) {
      await withClient(async (client) => {
        await client.call(OP.socket, [3, AF_INET, 1 | O_NONBLOCK, 0]);
        await client.call(OP.connect, [3], REMOTE);
        packets.push(Buffer.from((await client.call(OP.nextPacket)).blob).toString('hex'));
      });
    }
    assert.is(packets[0], packets[1]);
    assert.is.not(packets[0], '');
  });

  test('withholds the answer of accept, on one connection, while others go on', () =>
    withClient(async (client) => {
      await client.call(OP.socket, [3, AF_INET, 1, 0]);
      await client.call(OP.bind, [3], LOCAL);
      await client.call(OP.listen, [3, 5]);
      const { reply } = await client.begin(OP.accept, [3, 4]);
      let answered = false;
      void reply.then(() => {
        answered = true;
      });
      await client.call(OP.sleep, [1_000_000]);
      await client.call(OP.sleep, [1_000_000]);
      assert.not(answered);
      await client.call(OP.done);
      assert.is((await reply).errno, ERRNO.EBADF, 'DONE leaves nobody waiting');
    }));

  test('lets poll wait for its time, and no longer', () =>
    withClient(async (client) => {
      await client.call(OP.socket, [3, AF_INET, 1, 0]);
      await client.call(OP.bind, [3], LOCAL);
      await client.call(OP.listen, [3, 5]);
      const pollfd = new Uint8Array(8);
      pollfd.set([3, 0, 0, 0, 1, 0]);
      const { reply } = await client.begin(OP.poll, [1, 250], pollfd);
      await client.call(OP.sleep, [1_000_000]);
      const { result, timeUs } = await reply;
      assert.is(result, 0);
      assert.is(timeUs, 250_000);
    }));

  test('forgets everything when its client goes away', async () => {
    const client = new AdapterClient(path);
    await client.call(OP.socket, [3, AF_INET, 1, 0]);
    await client.call(OP.bind, [3], LOCAL);
    await client.call(OP.listen, [3, 5]);
    await client.begin(OP.accept, [3, 4]);
    assert.equal(await client.control('states'), ['192.168.0.1 8080 0.0.0.0 0 LISTEN']);
    client.close();
    let states = ['unknown'];
    for (let tries = 0; tries < 100 && states.length > 0; tries += 1) states = await client.control('states');
    assert.equal(states, []);
  });

  test('listens on both families at :: and tells the peer of IPv4 as a mapped address', () =>
    withClient(async (client) => {
      await client.call(OP.socket, [3, AF_INET6, 1, 0]);
      await client.call(OP.bind, [3], encodeSockaddr({ address: ip('::'), port: 8080 }, 6));
      await client.call(OP.listen, [3, 5]);
      assert.equal(await client.control('states'), [':: 8080 :: 0 LISTEN']);
      const ends = { engine: ip('192.168.0.7'), peer: ip('192.0.2.1') };
      const flow = { peerPort: 999, enginePort: 8080, iss: 0, irs: 1000, lastTsval: 0 };
      const inject = (text: string) => client.call(OP.inject, [], packetOf(parseSegment(text), flow, ends));
      await inject('SYN 0:0(0) win 100');
      segmentOf((await client.call(OP.nextPacket)).blob, flow);
      await inject('ACK 1:1(0) ack 1 win 100');
      const { result, blob } = await client.call(OP.accept, [3, 4]);
      assert.is(result, 4);
      assert.equal(blob, mapped({ address: ip('192.0.2.1'), port: 999 }));
      assert.equal(await client.control('states'), [
        ':: 8080 :: 0 LISTEN',
        '192.168.0.7 8080 192.0.2.1 999 ESTABLISHED',
      ]);
    }));

  test('takes its own address from the script, also where it would look for the other end', () =>
    withClient(async (client) => {
      await client.call(OP.socket, [3, AF_INET, 1 | O_NONBLOCK, 0]);
      const bound = await client.call(OP.bind, [3], encodeSockaddr({ address: ip('10.1.2.3'), port: 9 }, 4));
      assert.is(bound.errno, 0);
      const other = encodeSockaddr({ address: ip('192.168.0.1'), port: 80 }, 4);
      assert.is((await client.call(OP.connect, [3], other)).errno, ERRNO.EINPROGRESS);
      await client.call(OP.socket, [4, AF_INET, 1 | O_NONBLOCK, 0]);
      assert.is((await client.call(OP.connect, [4], other)).errno, ERRNO.EINPROGRESS);
      const lines = await client.control('states');
      assert.equal(
        lines.map((line) => line.split(' ')[0]),
        ['10.1.2.3', '10.1.2.3'],
      );
    }));

  test('takes settings, and says which it does not know', () =>
    withClient(async (client) => {
      assert.equal(await client.control('set rto-initial-ms 300'), ['ok']);
      assert.equal(await client.control('set no-such-knob 1'), ['unknown no-such-knob']);
      assert.equal(await client.control('set timestamps perhaps'), ['invalid timestamps perhaps']);
      assert.equal(await client.control('drop NOWHERE'), ['unknown NOWHERE']);
      assert.equal(await client.control('dance'), ['unknown dance']);
      await client.call(OP.socket, [3, AF_INET, 1 | O_NONBLOCK, 0]);
      await client.call(OP.connect, [3], REMOTE);
      await client.call(OP.nextPacket);
      assert.is((await client.call(OP.nextPacket)).timeUs, 300_000);
      await client.call(OP.done);
      client.nowUs = 0;
      await client.call(OP.socket, [3, AF_INET, 1 | O_NONBLOCK, 0]);
      await client.call(OP.connect, [3], REMOTE);
      await client.call(OP.nextPacket);
      assert.is((await client.call(OP.nextPacket)).timeUs, 1_000_000, 'settings end with the script');
    }));

  test('answers TCP_INFO with 280 bytes and TCP_CC_INFO with none', () =>
    withClient(async (client) => {
      await client.call(OP.socket, [3, AF_INET, 1, 0]);
      assert.is((await client.call(OP.getsockopt, [3, 6, 11, 1000])).blob.length, 280);
      assert.is((await client.call(OP.getsockopt, [3, 6, 11, 104])).blob.length, 104);
      assert.is((await client.call(OP.getsockopt, [3, 6, 26, 100])).blob.length, 0);
    }));

  test('refuses what is no socket of TCP over IP', () =>
    withClient(async (client) => {
      const errnoOf = async (...args: number[]) => (await client.call(OP.socket, args)).errno;
      assert.is(await errnoOf(3, 1, 1, 0), ERRNO.EAFNOSUPPORT);
      assert.is(await errnoOf(3, AF_INET, 2, 0), ERRNO.ESOCKTNOSUPPORT);
      assert.is(await errnoOf(3, AF_INET, 1, 17), ERRNO.EPROTONOSUPPORT);
      assert.is(await errnoOf(-1, AF_INET, 1, 0), ERRNO.EINVAL);
      assert.is(await errnoOf(3, AF_INET, 1, 6), 0);
      assert.is(await errnoOf(3, AF_INET, 1, 6), ERRNO.EINVAL);
      assert.is((await client.call(OP.bind, [3], REMOTE.subarray(0, 8))).errno, ERRNO.EINVAL);
      assert.is((await client.call(OP.setsockopt, [3, 1, 9], int32s().subarray(0, 0))).errno, ERRNO.EINVAL);
      assert.is((await client.call(OP.getsockopt, [3, 77, 1, 4])).errno, ERRNO.ENOPROTOOPT);
      assert.is((await client.call(OP.ioctl, [3, 1])).errno, ERRNO.ENOTTY);
    }));

  test('survives any bytes and any arguments', () =>
    withClient(async (client) => {
      let state = 12_345;
      const random = (bound: number) => {
        state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
        return (state >>> 8) % bound;
      };
      for (let times = 0; times < 3000; times += 1) {
        // Calls that may wait would stop the loop: sockets are non-blocking, poll does not wait.
        const op = random(19);
        const args = Array.from({ length: 4 }, () => random(9) - 2);
        if (op === OP.socket) args.splice(1, 3, AF_INET, 1 | O_NONBLOCK, 0);
        if (op === OP.fcntl) args[1] = 3;
        if (op === OP.poll) args[1] = 0;
        if (op === OP.accept) continue;
        const blob = Uint8Array.from({ length: random(60) }, () => random(256));
        const { errno } = await client.call(op, args, blob);
        assert.ok(errno >= 0 && errno < 200, `operation ${op} answered ${errno}`);
      }
    }));

  test('survives a fault of the engine: the call fails, and what comes after it begins anew', async () => {
    const own = join(folder.path, 'own');
    const inProcess = await startAdapter(own, 'finwait');
    const client = new AdapterClient(own);
    const { nextPacket } = World.prototype;
    const { write } = process.stderr;
    let told = '';
    try {
      await client.call(OP.socket, [3, AF_INET, 1, 0]);
      World.prototype.nextPacket = () => {
        throw new Error('a bug');
      };
      process.stderr.write = (text) => {
        told += text;
        return true;
      };
      assert.is((await client.call(OP.nextPacket)).errno, ERRNO.EIO);
    } finally {
      World.prototype.nextPacket = nextPacket;
      process.stderr.write = write;
    }
    assert.match(told, /operation 16: Error: a bug/);
    assert.is((await client.call(OP.listen, [3, 1])).errno, ERRNO.EBADF);
    assert.is((await client.call(OP.socket, [3, AF_INET, 1, 0])).errno, 0);
    const { settle } = World.prototype;
    try {
      World.prototype.settle = () => {
        throw new Error('another');
      };
      process.stderr.write = (text) => {
        told += text;
        return true;
      };
      assert.equal(await client.control('drop SYN-SENT'), ['failed']);
    } finally {
      World.prototype.settle = settle;
      process.stderr.write = write;
    }
    assert.match(told, /drop SYN-SENT: Error: another/);
    assert.is((await client.call(OP.listen, [3, 1])).errno, ERRNO.EBADF);
    client.close();
    await inProcess.close();
  });

  test('obeys each line of settings, also one that comes when the answer to the first has ended', () =>
    withClient(async (client) => {
      const retried = async (fd: number): Promise<number> => {
        await client.call(OP.socket, [fd, AF_INET, 1 | O_NONBLOCK, 0]);
        const beganUs = (await client.call(OP.connect, [fd], REMOTE)).timeUs;
        await client.call(OP.nextPacket);
        const { timeUs } = await client.call(OP.nextPacket);
        await client.control('drop SYN-SENT');
        return timeUs - beganUs;
      };
      const stream = connect({ path: `${path}.control`, allowHalfOpen: true });
      stream.write('set timestamps off\n');
      const [answer] = await once(stream, 'data');
      assert.is(String(answer), 'ok\n');
      stream.end('set rto-initial-ms 300\n');
      let waitedUs = 0;
      for (let fd = 3; fd < 100 && waitedUs !== 300_000; fd += 1) waitedUs = await retried(fd);
      assert.is(waitedUs, 300_000);
    }));

  test('takes no more calls from who does not read the answers, until they are read', () =>
    withClient(async (client) => {
      const calls = connect(path).pause();
      await once(calls, 'connect');
      const count = 200_000;
      let drained = false;
      calls.once('drain', () => {
        drained = true;
      });
      calls.write(Buffer.concat(Array.from({ length: count }, () => sleep(0, 0))));
      // It goes on for others; what it leaves unread stays so.
      for (let same = 0, left = 0; same < 200 && !drained; left = calls.writableLength) {
        await client.call(OP.sleep);
        same = calls.writableLength === left ? same + 1 : 0;
      }
      assert.not(drained, 'all calls were taken');
      const reader = new FrameReader();
      let answers = 0;
      for await (const chunk of calls as AsyncIterable<Buffer>) {
        answers += reader.push(chunk).length;
        if (answers === count) break;
      }
      assert.is(answers, count);
    }));

  test('hangs up on who asks for states without end', () =>
    withClient(async (client) => {
      for (let fd = 0; fd < 100; fd += 1) {
        await client.call(OP.socket, [fd, AF_INET, 1, 0]);
        await client.call(OP.listen, [fd, 1]);
      }
      const all = (await client.control('states')).join('\n').length;
      const control = connect(`${path}.control`);
      control.on('error', () => control.destroy());
      const lines = 9000;
      control.write('states\n'.repeat(lines));
      let bytes = 0;
      control.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
      });
      await once(control, 'close');
      assert.ok(bytes < lines * all, `${bytes} bytes of answers`);
      assert.is((await client.control('states')).length, 100);
    }));

  test('says so where it cannot listen', async () => {
    const program = join(import.meta.dirname, 'adapter.ts');
    const nowhere = join(folder.path, 'no', 'such');
    const { code, stdout, stderr } = await runProgram(process.execPath, [program, '--socket', nowhere]);
    assert.is(code, 3);
    assert.is(stdout, '');
    assert.match(stderr, /^listen E\w+: .*such\n$/);
  });

  test('tells how a script differs as a packet trace', () =>
    withClient(async (client) => {
      const script = parseScript('wrong', '# wrong\nopen\nwrite 4 10 = 10\n> PSH,ACK 1:11(10) ack 7\n');
      let told = '';
      await runScript(client, script, 'active', 4).catch((error: unknown) => {
        if (error instanceof ScriptFailure) told = error.message;
      });
      assert.match(told, /wrong, line 4: > PSH,ACK 1:11\(10\) ack 7/);
      assert.match(told, /expected 0\.000000 > PSH,ACK 1:11\(10\) ack 7/);
      assert.match(told, /got {6}0\.000000 > PSH,ACK 1:11\(10\) ack 1/);
      assert.match(told, /trace:\n {4}0\.000000 > SYN 0:0\(0\)/);
    }));

  test('tells of a call that does not return', () =>
    withClient(async (client) => {
      const script = parseScript('stuck', '# stuck\nopen\nread 4 10 = 10\n');
      let told = '';
      await runScript(client, script, 'passive', 4, 200).catch((error: unknown) => {
        if (error instanceof ScriptFailure) told = error.message;
      });
      assert.match(told, /expected 10\n {2}got {6}waits/);
    }));

  test('finds packets that no script expects', () =>
    withClient(async (client) => {
      const script = parseScript('silent', '# silent\nopen\nwrite 4 10 = 10\n+1 end\n');
      let told = '';
      await runScript(client, script, 'passive', 6).catch((error: unknown) => {
        if (error instanceof ScriptFailure) told = error.message;
      });
      assert.match(told, /expected nothing\n {2}got {6}0\.000000 > PSH,ACK 1:11\(10\)/);
    }));
});
