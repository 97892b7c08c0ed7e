import * as assert from 'uvu/assert';
import { encodeIcmpError } from '../../../daemon/wire/icmp-encode.ts';
import { ACK, RST, SYN } from '../../../daemon/wire/tcp-header.ts';
import { spec } from '../../harness.ts';
import { atEnd, CLOSES, forge, headerOf, ip, PEER, probeOnce, Scene } from './scene.ts';

const HIDDEN = { lose: () => true };

/** Loses the first so many packets for which `which` holds. */
function loseFirst(times: number, which: (flags: number) => boolean) {
  let left = times;
  return { lose: (packet: Uint8Array) => which(headerOf(packet).flags) && left-- > 0 };
}

spec("the prober's verdicts", (test) => {
  test('refused: RST in answer to the SYN', () => {
    const { result } = probeOnce({ delayUs: 20 });
    assert.is(result.verdict, 'refused');
    assert.is(
      result.sentence,
      'answered the SYN with RST after 40 us (TTL 64: no router between): nothing listens on that port, or a firewall resets in its name',
    );
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
      there: { lose: (packet, nowUs) => headerOf(packet).flags !== SYN && nowUs < 2_000_000 },
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
