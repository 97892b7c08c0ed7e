/** FIN and RST: the states from ESTABLISHED to CLOSED. RFC 9293 sections 3.6 and 3.10.7.4 */

import * as assert from 'uvu/assert';
import { spec } from '../../harness.ts';
import {
  closeWait,
  closing,
  established,
  finWait1,
  finWait2,
  lastAck,
  STATES,
  type Trace,
  timeWait,
} from './trace.ts';

const TWO_MSL_MS = 60_000;
const NEW_SYN = { seq: 5000, options: { mss: 1000 } };

const statesOf = (t: Trace) => t.all('state').map(({ to }) => to);

spec('four-way close', (test) => {
  test('we close first: FIN-WAIT-1, FIN-WAIT-2, TIME-WAIT', () => {
    assert.equal(statesOf(timeWait()).slice(-3), ['FIN-WAIT-1', 'FIN-WAIT-2', 'TIME-WAIT']);
  });

  test('the peer closes first: CLOSE-WAIT, LAST-ACK, CLOSED', () => {
    const t = lastAck().receives('ACK', { seq: 2, ack: 2 }).silent();
    assert.equal(statesOf(t).slice(-3), ['CLOSE-WAIT', 'LAST-ACK', 'CLOSED']);
    assert.is(t.ended, 'closed');
  });

  test('both close at once: CLOSING, TIME-WAIT', () => {
    const t = closing().receives('ACK', { seq: 2, ack: 2 }).silent();
    assert.equal(statesOf(t).slice(-3), ['FIN-WAIT-1', 'CLOSING', 'TIME-WAIT']);
  });

  test('FIN with the acknowledgement of ours: straight to TIME-WAIT', () => {
    const t = finWait1().receives('FIN ACK', { seq: 1, ack: 2 });
    t.sends('ACK', { seq: 2, ack: 2 });
    assert.is(t.state, 'TIME-WAIT');
  });

  test('the FIN rides on the last data, ours and theirs', () => {
    const t = established().send('bye').shutdown();
    t.sends('FIN ACK PSH', { seq: 1, data: 'bye' });
    t.receives('FIN ACK PSH', { seq: 1, ack: 5, data: 'bye too' });
    t.sends('ACK', { seq: 5, ack: 9 });
    assert.equal(t.read(), { data: 'bye too', eof: true });
    assert.is(t.state, 'TIME-WAIT');
  });

  test('a FIN waits for the data before it', () => {
    const t = established().receives('FIN ACK', { seq: 4, ack: 1 });
    t.sends('ACK', { ack: 1 });
    assert.is(t.state, 'ESTABLISHED');
    t.receives('ACK', { seq: 1, ack: 1, data: 'abc' });
    t.sends('ACK', { ack: 5 });
    assert.is(t.state, 'CLOSE-WAIT');
    assert.equal(t.read(), { data: 'abc', eof: true });
  });
});

spec('half-close', (test) => {
  test('FIN-WAIT-2 goes on receiving, and acknowledging', () => {
    const t = finWait2().receives('ACK', { seq: 1, ack: 2, data: 'late news' });
    t.sendsAt(40, 'ACK', { seq: 2, ack: 10 });
    assert.equal(t.read(), { data: 'late news', eof: false });
  });

  test('CLOSE-WAIT goes on sending', () => {
    const t = closeWait().send('still here');
    t.sends('ACK PSH', { seq: 1, ack: 2, data: 'still here' });
    t.receives('ACK', { seq: 2, ack: 11 }).silent();
    t.shutdown().sends('FIN ACK', { seq: 11, ack: 2 });
  });

  test('FIN-WAIT-2 waits for as long as it takes', () => {
    assert.is(finWait2().silentUntil(86_400_000).state, 'FIN-WAIT-2');
  });

  test('what comes after our FIN cannot be sent', () => {
    const t = finWait1();
    assert.equal(t.stack.send(t.id, Uint8Array.of(1), 0), { ok: false, reason: 'already-closing' });
    assert.equal(t.stack.shutdown(t.id, 0), { ok: false, reason: 'already-closing' });
  });
});

spec('TIME-WAIT', (test) => {
  test('MUST-13: it lasts 2 MSL', () => {
    const t = timeWait().silentUntil(TWO_MSL_MS - 1);
    assert.is(t.state, 'TIME-WAIT');
    assert.is(t.silentUntil(TWO_MSL_MS).ended, 'closed');
    assert.is(t.stack.usage().connections, 0);
  });

  test('MUST-13: a repeated FIN is acknowledged again, and the wait starts over', () => {
    const t = timeWait().silentUntil(50_000);
    t.receives('FIN ACK', { seq: 1, ack: 2 }).sends('ACK', { seq: 2, ack: 2 });
    t.silentUntil(50_000 + TWO_MSL_MS - 1);
    assert.is(t.state, 'TIME-WAIT');
    assert.is(t.silentUntil(50_000 + TWO_MSL_MS).state, 'CLOSED');
  });

  test('N4, MAY-2: a SYN is challenged where nobody listens, and a new connection where somebody does', () => {
    const alone = timeWait().receives('SYN', NEW_SYN);
    alone.sends('ACK', { seq: 2, ack: 2 });

    const t = timeWait();
    assert.ok(t.stack.listen({ port: t.enginePort }, 8).ok);
    const old = t.iss;
    t.receives('SYN', { ...NEW_SYN, seq: 1 }).sends('ACK', { seq: 2, ack: 2 });
    t.receives('SYN', NEW_SYN).sends('SYN ACK', { ack: 5001 });
    assert.ok(((t.iss - old) | 0) > 0, 'its numbers lie beyond the old ones');
    assert.is(t.ended, 'closed');
  });

  test('SHLD-4: a later timestamp makes the SYN new, an earlier one old', () => {
    const at = (value: number) => ({ timestamps: { value, echo: 0 } });
    const wait = () => {
      const t = established({ peer: at(1000) }).shutdown();
      t.sends('FIN ACK');
      t.receives('FIN ACK', { seq: 1, ack: 2, options: at(1001) });
      t.sends('ACK');
      assert.ok(t.stack.listen({ port: t.enginePort }, 8).ok);
      return t;
    };
    wait()
      .receives('SYN', { seq: -9000, options: at(1002) })
      .sends('SYN ACK', { ack: -8999 });
    wait()
      .receives('SYN', { seq: 9000, options: at(900) })
      .sends('ACK', { ack: 2 });
  });

  test('what was not read can still be read', () => {
    const t = finWait2().receives('FIN ACK', { seq: 1, ack: 2, data: 'last words' });
    t.sends('ACK', { ack: 12 });
    assert.equal(t.read(), { data: 'last words', eof: true });
  });
});

spec('RST', (test) => {
  test('N2, SHLD-2: at exactly RCV.NXT it ends the connection in every state but TIME-WAIT, text or not', () => {
    for (const [name, make] of Object.entries(STATES)) {
      if (name === 'SYN-SENT' || name === 'TIME-WAIT') continue;
      const t = make();
      const rcvNxt = (t.info?.rcvNxt ?? 0) - (t.info?.irs ?? 0);
      t.receives('RST', { seq: rcvNxt, data: 'why' }).silent();
      assert.is(t.state, 'CLOSED', name);
    }
  });

  test('RFC 1337: it does not end TIME-WAIT, unless the profile says so', () => {
    const end = { seq: 2, ack: 2 };
    assert.is(timeWait().receives('RST', end).silent().state, 'TIME-WAIT');
    assert.is(timeWait({ profile: { resetEndsTimeWait: true } }).receives('RST', end).state, 'CLOSED');
  });

  test('MUST-12: the user can tell a reset from a close', () => {
    assert.is(established().receives('RST', { seq: 1 }).ended, 'reset');
    assert.is(lastAck().receives('ACK', { seq: 2, ack: 2 }).ended, 'closed');
  });

  test('N1: elsewhere in the window it is challenged', () => {
    for (const [name, make] of Object.entries(STATES)) {
      if (name === 'SYN-SENT') continue;
      const t = make();
      const { info } = t;
      const seq = (info?.rcvNxt ?? 0) - (info?.irs ?? 0);
      t.receives('RST', { seq: seq + 1 }).sends('ACK', { ack: seq });
      assert.is(t.state, name);
    }
  });

  test('N8: outside the window it is dropped silently', () => {
    for (const [name, make] of Object.entries(STATES)) {
      if (name === 'SYN-SENT') continue;
      const t = make();
      t.receives('RST', { seq: -1 }).receives('RST', { seq: 10_000_000 }).silent();
      assert.is(t.state, name);
    }
  });

  test('MUST-66: with a zero window it still counts', () => {
    const t = established({ profile: { receiveBufferBytes: 1000, windowShift: 0 } });
    t.receives('ACK', { seq: 1, ack: 1, data: 1000 });
    t.sendsAt(40, 'ACK', { ack: 1001, window: 0 });
    assert.is(t.receives('RST', { seq: 1001 }).ended, 'reset');
  });
});

spec('abort and close', (test) => {
  test('abort sends a RST where the peer may hold a connection', () => {
    for (const make of [established, finWait1, finWait2, closeWait]) {
      const t = make();
      const { info } = t;
      t.abort().sends('RST ACK', { seq: (info?.sndNxt ?? 0) - (info?.iss ?? 0) });
      assert.is(t.ended, 'aborted');
    }
    for (const make of [closing, lastAck, timeWait]) assert.is(make().abort().silent().ended, 'aborted');
  });

  test('SHLD-3: closing with unread data sends a RST', () => {
    const t = established().receives('ACK', { seq: 1, ack: 1, data: 'unread' });
    t.close().sends('RST ACK', { seq: 1, ack: 7 });
    assert.is(t.ended, 'aborted');
  });

  test('SHLD-3: data that comes after closing is answered with a RST', () => {
    const t = established().close();
    t.sends('FIN ACK', { seq: 1 });
    t.receives('ACK', { seq: 1, ack: 2, data: 'too late' }).sends('RST', { seq: 2 });
    assert.is(t.ended, 'reset');
  });

  test('a close with nothing unread is a FIN', () => {
    const t = established().close();
    t.sends('FIN ACK', { seq: 1 });
    t.receives('FIN ACK', { seq: 1, ack: 2 }).sends('ACK', { ack: 2 });
    assert.is(t.silentUntil(TWO_MSL_MS).ended, 'closed');
  });

  test('a second close is refused, and so is what is gone', () => {
    const t = established().close();
    assert.equal(t.stack.close(t.id, 0), { ok: false, reason: 'already-closing' });
    t.abort();
    assert.equal(t.stack.close(t.id, 0), { ok: false, reason: 'no-such-connection' });
  });

  test('`ended` is the last event, after the RST has left', () => {
    const t = established().abort();
    assert.is(t.ended, undefined);
    t.sends('RST ACK');
    t.all('ended');
    assert.is(t.events.at(-1)?.kind, 'ended');
  });
});

spec('retransmission of the FIN', (test) => {
  test('it is repeated until it is acknowledged', () => {
    const t = finWait1();
    t.sendsAt(200, 'FIN ACK', { seq: 1 });
    t.sendsAt(600, 'FIN ACK', { seq: 1 });
    t.receives('ACK', { seq: 1, ack: 2 });
    assert.is(t.silentUntil(100_000).state, 'FIN-WAIT-2');
    assert.equal(t.info?.retransmits, { syn: 0, data: 0, fin: 2 });
  });

  test('MUST-20b: an unanswered FIN ends with the user timeout', () => {
    for (const make of [finWait1, lastAck, closing]) {
      const t = make({ connect: { userTimeoutUs: 5_000_000 } });
      for (let ms = 1000; ms < 5000; ms += 1000) {
        t.passTo(ms);
        while (t.next()) assert.is.not(t.state, 'CLOSED');
      }
      assert.is(t.passTo(5000).ended, 'timeout');
    }
  });
});
