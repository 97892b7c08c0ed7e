import * as assert from 'uvu/assert';
import type { FlowEvent } from '../../cli/conntrack-events.ts';
import { Successors } from '../../cli/conntrack-events.ts';
import { spec } from '../harness.ts';
import { flow } from './tables-fixture.ts';

function event(fields: Partial<FlowEvent>): FlowEvent {
  return { ...flow({ state: 'TIME_WAIT' }), event: 'ended', atMs: 1, reason: 'removed', ...fields };
}

const BEGUN = event({ event: 'begun', state: 'SYN_SENT', reason: null });

spec('finwait conntrack --events', (test) => {
  test('says of a flow that it was reused when a connection with its ends begins with its end', () => {
    const reasonAfter = (ended: FlowEvent, next: FlowEvent) => {
      const successors = new Successors();
      for (const each of [ended, next]) successors.note(each);
      return successors.reasonOf(ended);
    };
    assert.is(reasonAfter(event({}), BEGUN), 'reused');
    assert.is(reasonAfter(event({ state: 'CLOSE' }), BEGUN), 'reused');
    // Another flow, a later reading, a state that no new connection ends, an end of itself.
    assert.is(reasonAfter(event({}), { ...BEGUN, zone: 7 }), 'removed');
    assert.is(reasonAfter(event({}), { ...BEGUN, source: { address: '10.0.0.1', port: 1 } }), 'removed');
    assert.is(reasonAfter(event({}), { ...BEGUN, atMs: 2 }), 'removed');
    assert.is(reasonAfter(event({ state: 'ESTABLISHED' }), BEGUN), 'removed');
    assert.is(reasonAfter(event({ reason: 'closed' }), BEGUN), 'closed');
  });
});
