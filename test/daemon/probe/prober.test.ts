import * as assert from 'uvu/assert';
import { ACK, SYN } from '../../../daemon/wire/tcp-header.ts';
import { spec } from '../../harness.ts';
import { atEnd, CLOSES, ENGINE, headerOf, PEER, PORT, probeOnce, Scene, UNIX_US } from './scene.ts';

/** Loses the first so many packets for which `which` holds. */
function loseFirst(times: number, which: (flags: number) => boolean) {
  let left = times;
  return { lose: (packet: Uint8Array) => which(headerOf(packet).flags) && left-- > 0 };
}

spec('the prober, when all is well', (test) => {
  for (const family of [4, 6] as const) {
    test(`finds an IPv${family} listener open and times every step`, () => {
      const { result } = probeOnce({ peer: CLOSES, family, delayUs: 500 });
      assert.is(result.verdict, 'open');
      assert.is(result.sentence, 'accepted the connection in 1.00 ms and closed it 1.00 ms after our FIN');
      assert.equal(result.steps, {
        synSentUs: 0,
        synAckReceivedUs: 1000,
        ackSentUs: 1000,
        finSentUs: 1000,
        finAckedUs: 2000,
        finReceivedUs: 2000,
        lastAckSentUs: 2000,
      });
      assert.equal(result.phases, [
        { name: 'handshake', fromUs: 0, toUs: 1000, ok: true },
        { name: 'close', fromUs: 1000, toUs: 2000, ok: true },
      ]);
      assert.equal(result.retransmits, { syn: 0, data: 0, fin: 0 });
      assert.is(result.startUs, UNIX_US);
      assert.is(result.handshakeNetUs, 1000);
      assert.is(result.rttUs, 1000);
      assert.is(result.hops, 0);
      assert.is(result.family, family);
      assert.is(result.local.address, ENGINE[family].text);
      assert.equal(result.remote, { address: PEER[family].text, port: PORT });
      assert.is(result.tainted, undefined);
    });
  }

  test('writes the ladder with relative numbers, scaled windows and the options of both sides', () => {
    const { result } = probeOnce({ peer: CLOSES });
    const lines = result.segments.map(
      ({ direction, flags, seq, ack, length }) =>
        `${direction} ${flags.join()} ${seq} ${ack ?? '-'} ${length}`,
    );
    assert.is(lines[0], 'out SYN 0 - 0');
    assert.is(lines[1], 'in SYN,ACK 0 1 0');
    assert.is(lines.at(-1), 'out ACK 2 2 0');
    assert.ok(lines.some((line) => /^out FIN,ACK 1 1 0$/.test(line)));
    assert.ok(lines.some((line) => /^in FIN,ACK 1 2 0$/.test(line)));
    const [syn, , first] = result.segments;
    const shift = result.options.offered.windowScale ?? 0;
    assert.ok((syn?.window ?? 0) <= 65_535, 'a SYN is never scaled');
    assert.ok((first?.window ?? 0) > 65_535, 'later windows are');
    assert.is((first?.window ?? 1) % 2 ** shift, 0);
    assert.equal(result.options.accepted, result.options.offered);
    assert.is(result.options.offered.mss, 1460);
  });

  test('ends an exchange with the first byte of the answer', () => {
    const { result } = probeOnce({
      send: 'ping',
      delayUs: 500,
      peer: (event, stack, nowUs) => {
        if (event.kind !== 'readable') return;
        const read = stack.receive(event.id, 100, nowUs);
        if (read.ok && read.value.data.length > 0) stack.send(event.id, new Uint8Array(3000), nowUs);
        if (read.ok && read.value.eof) stack.shutdown(event.id, nowUs);
      },
    });
    assert.is(result.verdict, 'open');
    assert.match(
      result.sentence,
      /^accepted .* answered the request after 1.00 ms and closed it 1.00 ms after our FIN$/,
    );
    const { requestSentUs, requestAckedUs, firstByteUs, finSentUs } = result.steps;
    assert.equal([requestSentUs, requestAckedUs, firstByteUs, finSentUs], [1000, 2000, 2000, 2000]);
    assert.equal(
      result.phases.map(({ name, ok }) => `${name} ${ok}`),
      ['handshake true', 'exchange true', 'close true'],
    );
  });

  test('takes a peer that speaks first for what it is', () => {
    const { result } = probeOnce({
      peer: (event, stack, nowUs) => {
        if (event.kind === 'accepted') stack.send(event.id, new TextEncoder().encode('SSH-2.0-x\r\n'), nowUs);
        CLOSES(event, stack, nowUs);
      },
    });
    assert.is(result.verdict, 'open');
    assert.match(result.sentence, /, spoke first \d+ us later and closed it/);
    assert.type(result.steps.firstByteUs, 'number');
    assert.is(result.steps.requestSentUs, undefined);
  });

  test('keeps reading a peer that sends much, and does not let the ladder grow with it', () => {
    const { result } = probeOnce({
      send: 'all',
      delayUs: 2_000,
      peer: (event, stack, nowUs) => {
        if (event.kind !== 'readable') return;
        const read = stack.receive(event.id, 100, nowUs);
        if (!read.ok || read.value.data.length === 0) return;
        stack.send(event.id, new Uint8Array(200_000), nowUs);
        stack.shutdown(event.id, nowUs);
      },
    });
    assert.is(result.verdict, 'open');
    assert.ok(result.segments.length <= 64);
    assert.ok(result.segmentsFolded > 20);
    assert.ok(result.segments.some(({ direction, flags }) => direction === 'in' && flags.includes('FIN')));
    assert.is(result.segments.at(-1)?.direction, 'out', 'the last ACK is kept');
  });

  test('closes with a peer that closed first', () => {
    const { result } = probeOnce({
      send: 'x',
      delayUs: 500,
      peer: (event, stack, nowUs) => {
        if (event.kind !== 'readable') return;
        const read = stack.receive(event.id, 100, nowUs);
        if (!read.ok || read.value.data.length === 0) return;
        stack.send(event.id, new Uint8Array([1]), nowUs);
        stack.shutdown(event.id, nowUs);
      },
    });
    assert.is(result.verdict, 'open');
    assert.match(
      result.sentence,
      /answered the request after 1.00 ms and closed it first, 1.00 ms after the handshake/,
    );
    assert.is(result.phases.at(-1)?.ok, true);
  });

  test('leaves the peer no connection, whatever the verdict', () => {
    for (const options of [
      { peer: CLOSES },
      { peer: atEnd(() => {}) },
      { peer: CLOSES, send: 'unanswered' },
    ]) {
      const { scene } = probeOnce({ ...options, limits: { closeMs: 500, exchangeMs: 500 } });
      scene.simulation.run(120e6);
      assert.is(scene.peer.usage().connections, 0, JSON.stringify(options));
    }
  });

  test('runs many probes at a time and mixes none of them up', () => {
    const scene = new Scene({ peer: CLOSES, delayUs: 300, seed: 5, there: { jitterUs: 200, loss: 0.1 } });
    for (let n = 0; n < 50; n++) scene.start(`p${n}`);
    while (scene.prober.running > 0) scene.run();
    assert.is(new Set(scene.results.map(({ id }) => id)).size, 50);
    assert.is(new Set(scene.results.map(({ local }) => local.port)).size, 50);
    assert.ok(scene.results.filter(({ verdict }) => verdict === 'open').length > 45);
    assert.ok(
      scene.results.some(({ retransmits }) => retransmits.syn > 0),
      'some were hit',
    );
  });
});

spec('the prober, when a leg is lost', (test) => {
  test('the SYN: says how often it was sent and what the handshake took without the waiting', () => {
    const { result } = probeOnce({
      peer: CLOSES,
      delayUs: 500,
      there: loseFirst(2, (flags) => flags === SYN),
    });
    assert.is(result.verdict, 'open');
    assert.is(result.retransmits.syn, 2);
    assert.is(result.handshakeNetUs, 1000);
    assert.ok((result.steps.synAckReceivedUs ?? 0) > 2e6);
    assert.match(result.sentence, /SYN sent 3 times; 1.00 ms without the wait to send it again/);
    assert.equal(
      result.segments
        .filter(({ flags }) => flags.join() === 'SYN')
        .map(({ retransmission }) => retransmission),
      [false, true, true],
    );
  });

  test('the SYN-ACK: the echoed timestamp tells which SYN was answered', () => {
    const { result } = probeOnce({
      peer: CLOSES,
      delayUs: 500,
      back: loseFirst(1, (flags) => flags === (SYN | ACK)),
    });
    assert.is(result.verdict, 'open');
    assert.ok((result.handshakeNetUs ?? 0) < 1_100_000);
  });

  test('our FIN: sends it again and says so', () => {
    const { result } = probeOnce({ peer: CLOSES, there: loseFirst(1, (flags) => (flags & 1) !== 0) });
    assert.is(result.verdict, 'open');
    assert.is(result.retransmits.fin, 1);
    assert.match(result.sentence, /; our FIN was sent twice$/);
  });

  test("the peer's FIN: waits for it to come again", () => {
    const { result } = probeOnce({ peer: CLOSES, back: loseFirst(1, (flags) => (flags & 1) !== 0) });
    assert.is(result.verdict, 'open');
  });

  test('the request: counts the data segments sent again', () => {
    const { result } = probeOnce({
      send: 'x',
      there: loseFirst(1, (flags) => (flags & 8) !== 0),
      peer: (event, stack, nowUs) => {
        if (event.kind !== 'readable') return;
        const read = stack.receive(event.id, 100, nowUs);
        if (read.ok && read.value.data.length > 0) stack.send(event.id, read.value.data, nowUs);
        if (read.ok && read.value.eof) stack.shutdown(event.id, nowUs);
      },
    });
    assert.is(result.verdict, 'open');
    assert.is(result.retransmits.data, 1);
    assert.match(result.sentence, /; the request was sent twice$/);
  });
});

spec("a sample's doubts about itself", (test) => {
  test('says when packets were lost on this machine while it ran', () => {
    const scene = new Scene({ peer: CLOSES });
    scene.start();
    scene.losses = 1;
    scene.run();
    assert.is(scene.results[0]?.tainted, 'queue-drop');
    scene.start();
    scene.run();
    assert.is(scene.results[1]?.tainted, undefined);
  });

  test('says when the engine was late', () => {
    const scene = new Scene({ peer: CLOSES });
    scene.start();
    scene.prober.taint('loop-lag');
    scene.run();
    assert.is(scene.results[0]?.tainted, 'loop-lag');
  });
});
