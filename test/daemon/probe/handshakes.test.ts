import * as assert from 'uvu/assert';
import { DEFAULT_PROBE_LIMITS } from '#contract';
import { meaningOf } from '../../../cli/ladder-meaning.ts';
import { sentenceOf } from '../../../daemon/probe/sentence.ts';
import { ACK, FIN, RST, SYN } from '../../../daemon/wire/tcp-header.ts';
import { spec } from '../../harness.ts';
import type { SceneOptions } from './scene.ts';
import { CLOSES, forge, headerOf, ip, probeOnce } from './scene.ts';

const HIDDEN = { lose: () => true };
const ISN = 70_000;

type Sent = ReturnType<typeof headerOf>;
type Reply = { flags: number; seq: number; ack: number; from?: ReturnType<typeof ip>; afterUs?: number };

/** A peer that is nothing but what it answers to each segment. */
function scripted(replies: (sent: Sent, nth: number) => readonly Reply[]): Pick<SceneOptions, 'onSent'> {
  let nth = 0;
  return {
    onSent: ({ packet }, { simulation }) => {
      const sent = headerOf(packet);
      for (const { afterUs = 100, ...reply } of replies(sent, ++nth)) {
        simulation.inject('engine', forge(sent, reply), simulation.nowUs + afterUs);
      }
    },
  };
}

const meanings = (result: ReturnType<typeof probeOnce>['result']) =>
  result.segments.map((segment, index) => meaningOf(segment, index, result));

spec('handshakes out of the ordinary', (test) => {
  test('a simultaneous open is told as one, with relative numbers', () => {
    const { result } = probeOnce({
      there: HIDDEN,
      ...scripted((sent) => {
        if (sent.flags === SYN) return [{ flags: SYN, seq: ISN, ack: 0 }];
        if (sent.flags & SYN) return [{ flags: ACK, seq: ISN + 1, ack: sent.seq + 1 }];
        if (sent.flags & FIN) return [{ flags: FIN | ACK, seq: ISN + 1, ack: sent.seq + 1 }];
        return [];
      }),
    });
    assert.is(result.verdict, 'open');
    assert.match(
      result.sentence,
      /^accepted the connection by a SYN of its own \(simultaneous open\) in 200 us/,
    );
    assert.ok(
      result.segments.every(({ seq, ack = 0 }) => seq < 10 && ack < 10),
      JSON.stringify(result.segments),
    );
    assert.ok(meanings(result).some((text) => text.startsWith('a SYN of its own: simultaneous open')));
    assert.is(result.retransmits.syn, 0);
  });

  test('a simultaneous open that the peer does not finish is no silence', () => {
    const { result } = probeOnce({
      there: HIDDEN,
      ...scripted((sent) => (sent.flags === SYN ? [{ flags: SYN, seq: ISN, ack: 0 }] : [])),
    });
    assert.is(result.verdict, 'filtered');
    assert.match(result.sentence, /^sent a SYN of its own after 100 us \(simultaneous open\) and did not/);
  });

  test('the FIN of a SYN-ACK-FIN counts', () => {
    const { result } = probeOnce({
      there: HIDDEN,
      ...scripted((sent) => {
        if (sent.flags === SYN) return [{ flags: SYN | ACK | FIN, seq: ISN, ack: sent.seq + 1 }];
        return sent.flags & FIN ? [{ flags: ACK, seq: ISN + 2, ack: sent.seq + 1 }] : [];
      }),
    });
    assert.is(result.steps.finReceivedUs, 100);
    assert.is(result.verdict, 'open');
    assert.match(result.sentence, /closed it first/);
    assert.match(meanings(result)[1] ?? '', /accepted.*the peer closes its side at once/);
  });

  test('a spoofed bare ACK before the SYN-ACK of the same SYN is no old connection', () => {
    let spoofed = false;
    const { result } = probeOnce({
      peer: CLOSES,
      ...scripted((sent) => {
        if (sent.flags !== SYN || spoofed) return [];
        spoofed = true;
        return [{ flags: ACK, seq: 77, ack: sent.seq - 1000, afterUs: 30 }];
      }),
    });
    assert.is(result.verdict, 'open');
    assert.match(result.sentence, /a bare ACK after 30 us was not its answer/);
    assert.ok(meanings(result).includes('an ACK without SYN: no answer to ours'));
  });

  test('one bare ACK, and no SYN after it, is no proof of an old connection', () => {
    const { result } = probeOnce({
      there: HIDDEN,
      limits: { connectMs: 500 },
      ...scripted((sent) => (sent.flags === SYN ? [{ flags: ACK, seq: 77, ack: sent.seq - 9 }] : [])),
    });
    assert.is(result.verdict, 'filtered');
    assert.match(result.sentence, /bare ACK only, after 100 us, and the wait ended before/);
  });

  for (const strangers of [1, 2]) {
    test(`the true answer counts after strangers answered ${strangers} SYN(s), two each`, () => {
      let syns = 0;
      const { result } = probeOnce({
        there: HIDDEN,
        ...scripted((sent) => {
          if (sent.flags === SYN) {
            const answer = { flags: SYN | ACK, seq: 5000, ack: sent.seq + 1 };
            const forged = [ip('10.0.0.8'), ip('10.0.0.9')].map((from) => ({ ...answer, from, afterUs: 50 }));
            return ++syns < strangers ? forged : [...forged, { ...answer, afterUs: 400 }];
          }
          return sent.flags & FIN ? [{ flags: FIN | ACK, seq: 5001, ack: sent.seq + 1 }] : [];
        }),
      });
      assert.is(result.verdict, 'open');
    });
  }

  test('a RST for another SYN is an answer that cannot be, not silence', () => {
    const { result } = probeOnce({
      there: HIDDEN,
      ...scripted((sent) => (sent.flags === SYN ? [{ flags: RST | ACK, seq: 0, ack: sent.seq + 99 }] : [])),
    });
    assert.is(result.verdict, 'filtered');
    assert.match(result.sentence, /^gave 4 SYNs in 10.0 s no answer that can be for them: 4 RSTs came/);
    const again = meanings(result).filter((text) => text.startsWith('SYN again'));
    assert.is(again.length, 3);
    for (const text of again) assert.match(text, /no answer that counts for/);
  });

  test('a refusal names who else may have sent it, and how far away it was', () => {
    const near = probeOnce({});
    assert.match(
      near.result.sentence,
      /\(TTL 64: no router between\): nothing listens on that port, or a firewall/,
    );
    const far = probeOnce({
      there: HIDDEN,
      ...scripted((sent) => [{ flags: RST | ACK, seq: 0, ack: sent.seq + 1 }]),
    });
    assert.match(far.result.sentence, /\(TTL 60: 4 hops away\)/);
  });

  test('an answer before the reset is told', () => {
    const sentence = sentenceOf('reset-on-close', {
      remote: { address: '10.0.0.1', port: 80 },
      limits: DEFAULT_PROBE_LIMITS,
      steps: { synSentUs: 0, synAckReceivedUs: 100, ackSentUs: 100, requestSentUs: 110, firstByteUs: 300 },
      withRequest: true,
      endUs: 350,
      synsSent: 1,
      finsSent: 0,
      requestsSent: 1,
      synAckRepeats: 0,
      bareAck: undefined,
      peerSynUs: undefined,
      acceptedSyn: 1,
      unacceptable: { segments: 0, resets: 0 },
      ttl: 64,
      hops: 0,
      resetUs: 350,
      wrongSource: undefined,
      icmp: undefined,
      icmpErrors: 0,
      progressed: true,
      peerClosedFirst: false,
      handshakeNetUs: 100,
    });
    assert.match(sentence, /, answered the request after 190 us and reset it 50\S* us later$/);
  });
});
