import * as assert from 'uvu/assert';
import { encodeIcmpError } from '../../../daemon/wire/icmp-encode.ts';
import { ACK, RST, SYN } from '../../../daemon/wire/tcp-header.ts';
import { spec } from '../../harness.ts';
import {
  atEnd,
  CLOSES,
  ENGINE,
  forge,
  headerOf,
  ip,
  PEER,
  PORT,
  probeOnce,
  Scene,
  UNIX_US,
} from './scene.ts';

const HIDDEN = { lose: () => true };

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

spec("the prober's verdicts", (test) => {
  test('refused: RST in answer to the SYN', () => {
    const { result } = probeOnce({ delayUs: 20 });
    assert.is(result.verdict, 'refused');
    assert.is(result.sentence, 'answered the SYN with RST after 40 us: nothing listens on that port');
    assert.equal(result.phases, [{ name: 'handshake', fromUs: 0, toUs: 40, ok: false }]);
  });

  test('filtered: silence, with the SYNs that were sent', () => {
    const { result } = probeOnce({ there: HIDDEN });
    assert.is(result.verdict, 'filtered');
    assert.match(result.sentence, /^did not answer 4 SYNs in 10.0 s: /);
    assert.is(result.segments.length, 4);
    assert.is(result.hops, undefined);
    assert.is(result.options.accepted, null);
  });

  for (const [type, code, words] of [
    [3, 3, /answered the SYN itself with ICMP port unreachable \(3\/3\).*: a firewall rule rejects it/],
    [3, 13, /ICMP administratively prohibited \(3\/13\).*: a firewall forbids it/],
    [3, 10, /ICMP administratively prohibited \(3\/10\)/],
  ] as const) {
    test(`rejected: ICMP ${type}/${code} ends it at once`, () => {
      const { result } = probeOnce({
        there: HIDDEN,
        onSent: ({ packet }, scene) =>
          scene.simulation.inject(
            'engine',
            encodeIcmpError(packet, PEER[4].bytes, type, code),
            scene.simulation.nowUs + 50,
          ),
      });
      assert.is(result.verdict, 'rejected');
      assert.match(result.sentence, words);
      assert.is(result.retransmits.syn, 0);
      const icmp = result.segments.at(-1);
      assert.is(icmp?.kind, 'icmp');
      assert.is(icmp?.from, PEER[4].text);
    });
  }

  test('rejected: an error that may pass has to come for a second SYN', () => {
    const router = ip('10.9.9.9');
    const { result } = probeOnce({
      there: HIDDEN,
      onSent: ({ packet }, scene) =>
        scene.simulation.inject(
          'engine',
          encodeIcmpError(packet, router.bytes, 3, 1),
          scene.simulation.nowUs + 50,
        ),
    });
    assert.is(result.verdict, 'rejected');
    assert.match(result.sentence, /did not answer; 10.9.9.9 did, with ICMP host unreachable \(3\/1\)/);
    assert.is(result.retransmits.syn, 1);
  });

  test('an error that passes does no harm', () => {
    let times = 0;
    const { result } = probeOnce({
      peer: CLOSES,
      there: loseFirst(1, (flags) => flags === SYN),
      onSent: ({ packet }, scene) => {
        if (times++ === 0) scene.simulation.inject('engine', encodeIcmpError(packet, PEER[4].bytes, 3, 1));
      },
    });
    assert.is(result.verdict, 'open');
  });

  test('rejected, over IPv6', () => {
    const { result } = probeOnce({
      family: 6,
      there: HIDDEN,
      onSent: ({ packet }, scene) =>
        scene.simulation.inject('engine', encodeIcmpError(packet, PEER[6].bytes, 1, 1)),
    });
    assert.is(result.verdict, 'rejected');
    assert.match(result.sentence, /administratively prohibited \(1\/1\)/);
  });

  test('accept-queue-full: the SYN-ACK comes again and again after our ACK', () => {
    const { result } = probeOnce({
      peer: CLOSES,
      there: { lose: (packet) => headerOf(packet).flags !== SYN },
    });
    assert.is(result.verdict, 'accept-queue-full');
    assert.match(result.sentence, /^repeated its SYN-ACK \S+.* after our ACK/);
    assert.ok(result.segments.filter(({ flags }) => flags.join() === 'SYN,ACK').length > 1);
  });

  test('an accept queue that gets room in time is open, and the repetition is told', () => {
    const { result } = probeOnce({
      peer: CLOSES,
      there: { lose: (packet, nowUs) => headerOf(packet).flags !== SYN && nowUs < 1_500_000 },
    });
    assert.is(result.verdict, 'open');
    assert.match(result.sentence, /; it repeated its SYN-ACK twice, so an ACK was lost/);
  });

  test('stale-time-wait: a bare ACK in answer to the SYN, also when the connection then opens', () => {
    let times = 0;
    const { result } = probeOnce({
      peer: CLOSES,
      there: loseFirst(2, () => true),
      onSent: ({ packet }, scene) => {
        const syn = headerOf(packet);
        if (times++ > 0 || syn.flags !== SYN) return;
        scene.simulation.inject(
          'engine',
          forge(syn, { flags: ACK, seq: 77, ack: syn.seq - 1000 }),
          scene.simulation.nowUs + 80,
        );
      },
    });
    assert.is(result.verdict, 'stale-time-wait');
    assert.match(result.sentence, /bare ACK after 80 us.*; a new one opened 1\.\d+ s after the first SYN/);
    assert.ok(result.segments.some(({ direction, flags }) => direction === 'out' && flags.includes('RST')));
  });

  test('stale-time-wait: and when it does not', () => {
    const { result } = probeOnce({
      there: HIDDEN,
      onSent: ({ packet }, scene) => {
        const syn = headerOf(packet);
        if (syn.flags === SYN)
          scene.simulation.inject('engine', forge(syn, { flags: ACK, seq: 77, ack: syn.seq - 9 }));
      },
    });
    assert.is(result.verdict, 'stale-time-wait');
  });

  test('wrong-source: a SYN-ACK from another address, twice', () => {
    const { result } = probeOnce({
      there: HIDDEN,
      onSent: ({ packet }, scene) => {
        const syn = headerOf(packet);
        const answer = forge(syn, {
          flags: SYN | ACK,
          seq: 5000,
          ack: syn.seq + 1,
          from: ip('10.0.0.9'),
          port: 8080,
        });
        if (syn.flags === SYN) scene.simulation.inject('engine', answer, scene.simulation.nowUs + 200);
      },
    });
    assert.is(result.verdict, 'wrong-source');
    assert.match(result.sentence, /the SYN-ACK came from 10.0.0.9:8080 after 200 us/);
    assert.is(result.retransmits.syn, 1);
    assert.is(result.segments.find(({ from }) => from !== undefined)?.from, '10.0.0.9:8080');
  });

  test('a stranger that does not acknowledge our SYN is no wrong source', () => {
    const { result } = probeOnce({
      there: HIDDEN,
      onSent: ({ packet }, scene) => {
        const syn = headerOf(packet);
        const answer = forge(syn, { flags: SYN | ACK, seq: 5000, ack: syn.seq + 2, from: ip('10.0.0.9') });
        if (syn.flags === SYN) scene.simulation.inject('engine', answer);
      },
    });
    assert.is(result.verdict, 'filtered');
  });

  test('half-closed: our FIN is acknowledged and no more comes; a RST frees the peer', () => {
    const { result } = probeOnce({ peer: atEnd(() => {}), limits: { closeMs: 2_000 } });
    assert.is(result.verdict, 'half-closed');
    assert.match(
      result.sentence,
      /acknowledged our FIN after \S+ \S+ and kept its own side open for 2.00 s: .*CLOSE-WAIT/,
    );
    assert.equal(result.segments.at(-1)?.flags.includes('RST'), true);
    assert.is(result.segments.at(-1)?.direction, 'out');
    assert.is(result.phases.at(-1)?.ok, false);
  });

  test('close-unanswered: nothing comes for our FIN', () => {
    const answered = (nowUs: number) => nowUs > 1000;
    const { result } = probeOnce({
      send: 'x',
      delayUs: 100,
      peer: (event, stack, nowUs) => {
        if (event.kind !== 'readable') return;
        const read = stack.receive(event.id, 100, nowUs);
        if (read.ok && read.value.data.length > 0) stack.send(event.id, read.value.data, nowUs);
      },
      there: { lose: (packet) => (headerOf(packet).flags & 1) !== 0 },
      back: { lose: (_packet, nowUs) => answered(nowUs) },
    });
    assert.is(result.verdict, 'close-unanswered');
    assert.match(result.sentence, /did not acknowledge our FIN, sent \S+ times in 5.00 s/);
    assert.ok(result.retransmits.fin > 2);
  });

  test('reset-on-close: RST in answer to our FIN', () => {
    const { result } = probeOnce({
      peer: atEnd((stack, { id }, nowUs) => void stack.abort(id, nowUs)),
      delayUs: 500,
    });
    assert.is(result.verdict, 'reset-on-close');
    assert.match(result.sentence, /^accepted the connection in 1.00 ms and reset it 1.00 ms after our FIN/);
  });

  test('reset-in-exchange: RST in answer to the request', () => {
    const { result } = probeOnce({
      send: 'x',
      delayUs: 500,
      peer: (event, stack, nowUs) => {
        if (event.kind === 'readable') stack.abort(event.id, nowUs);
      },
    });
    assert.is(result.verdict, 'reset-in-exchange');
    assert.match(result.sentence, /reset it 1.00 ms after the request, without an answer$/);
    assert.is(result.phases.at(-1)?.name, 'exchange');
    assert.is(result.phases.at(-1)?.ok, false);
  });

  test('closed-in-exchange: FIN and not a byte in answer to the request', () => {
    const { result } = probeOnce({
      send: 'x',
      peer: (event, stack, nowUs) => {
        if (event.kind !== 'readable') return;
        const read = stack.receive(event.id, 100, nowUs);
        if (read.ok && read.value.data.length > 0) stack.shutdown(event.id, nowUs);
      },
    });
    assert.is(result.verdict, 'closed-in-exchange');
    assert.match(result.sentence, /and closed it \d+ us after the request, without an answer$/);
  });

  test('exchange-timeout: the request is acknowledged and not answered', () => {
    const { result } = probeOnce({ send: 'x', peer: CLOSES, limits: { exchangeMs: 3_000 } });
    assert.is(result.verdict, 'exchange-timeout');
    assert.match(result.sentence, /acknowledged the request after \S+ \S+ and did not answer it in 3.00 s/);
  });

  test('exchange-timeout: the request is not even acknowledged', () => {
    const { result } = probeOnce({
      send: 'x',
      peer: CLOSES,
      there: { lose: (packet) => (headerOf(packet).flags & 8) !== 0 },
    });
    assert.is(result.verdict, 'exchange-timeout');
    assert.match(result.sentence, /did not acknowledge the request, sent \S+ times/);
    assert.ok(result.retransmits.data > 1);
  });

  test('aborted: at once, with a RST for a connection that is open', () => {
    const scene = new Scene({ send: 'x', peer: CLOSES });
    scene.start('mine');
    scene.simulation.run(50_000);
    scene.prober.abort('mine', 50_000);
    scene.run();
    const [result] = scene.results;
    assert.is(result?.verdict, 'aborted');
    assert.match(result?.sentence ?? '', /^finwait stopped after 50.0 ms, in the exchange/);
    assert.ok(result?.segments.at(-1)?.flags.includes('RST'));
    assert.is(scene.prober.running, 0);
  });

  test('aborted: in the handshake no RST is sent', () => {
    const scene = new Scene({ there: HIDDEN });
    scene.start('mine');
    scene.simulation.run(50_000);
    scene.prober.abortAll(50_000);
    scene.run();
    assert.is(scene.results[0]?.verdict, 'aborted');
    assert.is(scene.sent.filter(({ packet }) => (headerOf(packet).flags & RST) !== 0).length, 0);
  });

  test('unreachable: the engine has no address of the family', () => {
    const scene = new Scene({});
    const address = ip('224.0.0.1');
    const target = {
      name: 't',
      host: 't',
      port: 1,
      origin: 'user',
      intervalMs: 1,
      limits: { connectMs: 1, exchangeMs: 1, closeMs: 1 },
    } as const;
    scene.prober.start({ id: 'x', target, address }, 0);
    const [result] = scene.prober.results();
    assert.is(result?.verdict, 'unreachable');
    assert.equal(result?.segments, []);
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
