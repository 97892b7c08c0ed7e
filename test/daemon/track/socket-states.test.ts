import * as assert from 'uvu/assert';
import { DiagRecord } from '../../../daemon/netlink/diag-record.ts';
import { viewOf } from '../../../daemon/netlink/message.ts';
import type { TrackedSocket } from '../../../daemon/track/socket-table.ts';
import { spec } from '../../harness.ts';
import type { DiagFields } from './diag-message.ts';
import { diagMessage, STATE } from './diag-message.ts';
import { makeFakeProc } from './fake-proc.ts';
import { LOCAL, only, PEER, tableOf } from './fed-table.ts';

const TIMER_TIME_WAIT = 3;

spec('the state of a socket', (test) => {
  test('keeps since when a socket is in its state from sweep to sweep', async () => {
    await using proc = await makeFakeProc();
    const { sweep } = tableOf(proc);
    const row = { state: STATE.established, local: LOCAL, peer: PEER };
    assert.is(only(sweep(1_000, row)).sinceMs, 1_000);
    assert.is(only(sweep(2_000, row)).sinceMs, 1_000);
    const closing = only(sweep(3_000, { ...row, state: STATE.finWait1 }));
    assert.equal([closing.state, closing.sinceMs, closing.sinceBasis], ['FIN-WAIT-1', 3_000, 'seen']);
  });

  test('takes the earlier time that the kernel tells: the timer in TIME-WAIT, the last ACK where the peer led there', async () => {
    await using proc = await makeFakeProc();
    const { sweep } = tableOf(proc);
    const timeWait = {
      state: STATE.timeWait,
      local: LOCAL,
      peer: PEER,
      timer: TIMER_TIME_WAIT,
      expiresMs: 45_000,
    };
    const first = only(sweep(100_000, timeWait));
    assert.equal([first.sinceMs, first.sinceBasis], [85_000, 'kernel']);
    // A retransmitted FIN starts the timer anew; the socket is in its state as long as before.
    assert.is(only(sweep(101_000, { ...timeWait, expiresMs: 60_000 })).sinceMs, 85_000);
    const others = { local: '10.0.0.1:80', peer: '10.0.0.2:50000', lastAckReceivedMs: 7_000 };
    const basisOf = (state: number) => {
      const { sinceMs, sinceBasis } = only(tableOf(proc).sweep(102_000, { ...others, state }));
      return `${sinceMs} ${sinceBasis}`;
    };
    for (const state of [STATE.closeWait, STATE.established, STATE.finWait2, STATE.closing]) {
      assert.is(basisOf(state), '95000 kernel', 'the peer led there');
    }
    for (const state of [STATE.finWait1, STATE.lastAck, STATE.synSent, STATE.listen]) {
      assert.is(basisOf(state), '102000 seen', 'it may have come there since');
    }
  });

  test('says of what was there before the first look that it may be older', async () => {
    await using proc = await makeFakeProc();
    const { sweep } = tableOf(proc, 2);
    const row = (port: number, state: number): DiagFields => ({
      state,
      local: `10.0.0.1:${port}`,
      peer: PEER,
    });
    const exact = (sockets: readonly TrackedSocket[]) =>
      Object.fromEntries(sockets.map(({ local, sinceIsExact }) => [local.port, sinceIsExact]));
    const waiting = { ...row(2, STATE.timeWait), timer: TIMER_TIME_WAIT, expiresMs: 9_000 };
    assert.equal(exact(sweep(1_000, row(1, STATE.established), waiting)), { 1: false, 2: true });
    // The third finds no room.
    const third = row(3, STATE.established);
    assert.equal(exact(sweep(2_000, row(1, STATE.closeWait), waiting, third)), { 1: true, 2: true });
    sweep(3_000, row(1, STATE.closeWait), third);
    sweep(4_000, row(1, STATE.closeWait), third);
    assert.equal(exact(sweep(5_000, row(1, STATE.closeWait), third)), { 1: true, 3: false });
    sweep(6_000, third);
    sweep(7_000, third);
    assert.equal(exact(sweep(8_000, third, row(4, STATE.established))), { 3: false, 4: true });
  });

  test('takes the age of the machine for no time since data came, where none ever did', async () => {
    await using proc = await makeFakeProc();
    const never = { lastDataSentMs: 9e7, lastDataReceivedMs: 9e7, lastAckReceivedMs: 9e7 };
    const idle = (fields: Partial<DiagFields> & { state: number }) => {
      const [message] = [diagMessage({ local: LOCAL, peer: PEER, ...fields })];
      const record = new DiagRecord();
      record.read(viewOf(message), 0, message.length);
      const { idleMs, lastReceivedMs } = only(tableOf(proc).sweep(1_000, message));
      const { lastDataReceivedMs, lastDataSentMs, lastAckReceivedMs } = record.details().info ?? {};
      return [idleMs, lastReceivedMs, lastDataReceivedMs, lastDataSentMs, lastAckReceivedMs];
    };
    const untold = Array(5).fill(undefined);
    assert.equal(idle({ state: STATE.synSent, ...never }), untold);
    // What the kernel tells of a connection's end: the first was refused.
    assert.equal(idle({ state: STATE.close, ...never }), untold);
    assert.equal(idle({ state: STATE.close, ...never, rttUs: 20 }), Array(5).fill(9e7));
    assert.equal(idle({ state: STATE.close, ...never, lastDataSentMs: 1 }), [1, 9e7, 9e7, 1, 9e7]);
    assert.equal(idle({ state: STATE.established, ...never }), Array(5).fill(9e7));
  });

  test('tells how a receive queue moves, and how many sweeps saw the socket so', async () => {
    await using proc = await makeFakeProc();
    const { sweep } = tableOf(proc);
    const row = { state: STATE.closeWait, local: LOCAL, peer: PEER };
    const seen = [5, 5, 9, 9, 12, 3].map((receiveQueue, turn) => {
      const { queue, sweepsInState } = only(sweep(1_000 * (turn + 1), { ...row, receiveQueue }));
      return `${queue} ${sweepsInState}`;
    });
    assert.equal(seen, [
      'constant 1',
      'constant 2',
      'growing 3',
      // What stands still goes on as it last moved.
      'growing 4',
      'growing 5',
      'shrinking 6',
    ]);
  });

  test('tells a half-close that is used from one that is not', async () => {
    await using proc = await makeFakeProc();
    const { sweep } = tableOf(proc);
    const row = { state: STATE.closeWait, local: LOCAL, peer: PEER, lastAckReceivedMs: 0 };
    assert.not(only(sweep(1_000, { ...row, bytesSent: 40 })).sending);
    const times = { lastDataSentMs: 1_040, lastDataReceivedMs: 1_500 };
    assert.not(only(sweep(2_000, { ...row, ...times, bytesSent: 80, bytesRetransmitted: 40 })).sending);
    const used = { bytesSent: 85, bytesRetransmitted: 40, lastDataReceivedMs: 2_500 };
    const sending = only(sweep(3_000, { ...row, ...used }));
    assert.equal([sending.sending, sending.lastReceivedMs, sending.idleMs], [true, 2_500, 0]);
    assert.ok(only(sweep(4_000, { ...row, ...used })).sending, 'for as long as it is half-closed');
  });

  test('takes no time that a dump takes for data sent after the FIN', async () => {
    await using proc = await makeFakeProc();
    const { sweep } = tableOf(proc);
    const row = { state: STATE.closeWait, local: LOCAL, peer: PEER, bytesSent: 9 };
    // The first dump reaches the row 300 ms after it began, the second one at once.
    sweep(1_000, { ...row, lastAckReceivedMs: 280, lastDataSentMs: 280 });
    assert.not(only(sweep(2_000, { ...row, lastAckReceivedMs: 980, lastDataSentMs: 980 })).sending);
  });

  test('keeps what the kernel tells beside the state: shutdown, and whether a bind took the port', async () => {
    await using proc = await makeFakeProc();
    const { sweep } = tableOf(proc);
    const row = { state: STATE.established, local: LOCAL, peer: PEER };
    const told = only(sweep(1_000, { ...row, shutdown: 0, bindAddressNoPort: true }));
    assert.equal([told.shutdown, told.bindAddressNoPort], [0, true]);
    const later = only(sweep(2_000, { ...row, shutdown: 2, bindAddressNoPort: false }));
    assert.equal([later.shutdown, later.bindAddressNoPort], [2, false]);
    const untold = only(sweep(3_000, row));
    assert.equal([untold.shutdown, untold.bindAddressNoPort], [undefined, undefined]);
  });

  test('counts who comes into TIME-WAIT and CLOSE-WAIT and who leaves, but not who was there before', async () => {
    await using proc = await makeFakeProc();
    const { sweep, table } = tableOf(proc);
    const row = (port: number, state: number): DiagFields => ({
      state,
      local: `10.0.0.1:${port}`,
      peer: PEER,
    });
    sweep(1_000, row(1, STATE.timeWait), row(2, STATE.closeWait), row(3, STATE.established));
    sweep(2_000, row(1, STATE.timeWait), row(3, STATE.closeWait), row(4, STATE.timeWait));
    sweep(3_000, row(1, STATE.timeWait), row(3, STATE.timeWait), row(4, STATE.timeWait));
    assert.equal(table.counters.entered, { 'TIME-WAIT': 2, 'CLOSE-WAIT': 1 });
    // The one that the second sweep missed is believed to be gone with the third.
    assert.equal(table.counters.left, { 'TIME-WAIT': 0, 'CLOSE-WAIT': 2 });
  });
});
