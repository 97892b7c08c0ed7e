import * as assert from 'uvu/assert';
import { ACK, FIN, RST, SYN } from '../../../daemon/wire/tcp-header.ts';
import { spec } from '../../harness.ts';
import { CLOSES, forge, headerOf, probeOnce } from './scene.ts';

/** Answers each SYN with a forged segment that acknowledges `beyond` octets more than the SYN. */
function answering(flags: number, beyond: number) {
  return ({ packet }: { packet: Uint8Array }, scene: Parameters<NonNullable<Options['onSent']>>[1]) => {
    const syn = headerOf(packet);
    if (syn.flags !== SYN) return;
    const forged = forge(syn, { flags, seq: 9_000_000, ack: syn.seq + 1 + beyond });
    scene.simulation.inject('engine', forged, scene.simulation.nowUs + 50);
  };
}

type Options = Parameters<typeof probeOnce>[0];

spec('forged answers', (test) => {
  test('a SYN-ACK for another SYN is no acceptance, and does not spoil the times of the true one', () => {
    const { result } = probeOnce({ peer: CLOSES, onSent: answering(SYN | ACK, 98) });
    assert.is(result.verdict, 'open');
    assert.ok((result.steps.synAckReceivedUs ?? 0) > 50, String(result.steps.synAckReceivedUs));
    const [forged] = result.segments.filter(({ note }) => note !== undefined);
    assert.is(forged?.note, 'does not acknowledge our SYN');
    const synAck = result.segments.find(
      ({ flags, note }) => flags.join() === 'SYN,ACK' && note === undefined,
    );
    assert.is(synAck?.seq, 0, "numbers are relative to the true peer's");
  });

  test('a RST for another SYN is no refusal', () => {
    const { result } = probeOnce({ peer: CLOSES, onSent: answering(RST | ACK, 98) });
    assert.is(result.verdict, 'open');
    assert.is(
      result.segments.find(({ flags }) => flags.includes('RST'))?.note,
      'does not acknowledge our SYN',
    );
  });

  test('a FIN from outside the window that acknowledges what was never sent closes nothing', () => {
    const { result } = probeOnce({
      peer: () => {},
      limits: { closeMs: 2_000 },
      onSent: ({ packet }, scene) => {
        const sent = headerOf(packet);
        if (!(sent.flags & FIN)) return;
        for (const [seq, ack] of [
          [sent.ack - 100_000, sent.seq + 1],
          [sent.ack, sent.seq + 1_000],
        ]) {
          const forged = forge(sent, { flags: FIN | ACK, seq: (seq ?? 0) >>> 0, ack: ack ?? 0 });
          scene.simulation.inject('engine', forged, scene.simulation.nowUs + 50);
        }
      },
    });
    assert.is.not(result.verdict, 'open');
    assert.is(result.steps.finReceivedUs, undefined);
    const notes = new Set(result.segments.flatMap(({ note }) => note ?? []));
    assert.equal(notes, new Set(['lies outside the receive window', 'acknowledges what was never sent']));
  });
});
