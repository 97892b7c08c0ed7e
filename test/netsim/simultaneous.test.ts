/** Both ends do the same at the same time. RFC 9293 figures 7 and 13 */

import * as assert from 'uvu/assert';
import { Simulation } from '../../daemon/netsim/simulation.ts';
import type { ConnectionId, StateName } from '../../daemon/tcp/types.ts';
import { ip } from '../daemon/wire/support.ts';
import { spec } from '../harness.ts';

const PORT = 7777;
const WAY_US = 20_000;
const ENDS = { a: ip('10.0.0.1'), b: ip('10.0.0.2') } as const;

/** Two hosts that connect to each other; `lose` decides about packets by their turn, from 1. */
function crossing(lose: (turn: number) => boolean = () => false) {
  const states: Record<string, StateName[]> = { a: [], b: [] };
  const ids: Record<string, ConnectionId> = {};
  let turn = 0;
  const simulation = new Simulation({
    seed: 1,
    link: { delayUs: WAY_US, lose: () => lose(++turn) },
    hosts: (['a', 'b'] as const).map((name) => ({
      name,
      addresses: [ENDS[name]],
      application: (event) => {
        if (event.kind === 'state') states[name]?.push(event.to);
      },
    })),
  });
  for (const [name, other] of [
    ['a', 'b'],
    ['b', 'a'],
  ] as const) {
    const remote = { address: ENDS[other], port: PORT };
    const opened = simulation.host(name).stack.connect({ remote, local: { port: PORT } }, 0);
    if (opened.ok) ids[name] = opened.value;
  }
  const each = (then: (name: 'a' | 'b', id: ConnectionId) => void) => {
    for (const name of ['a', 'b'] as const) then(name, ids[name] as ConnectionId);
  };
  return { simulation, states, each };
}

spec('two ends at once', (test) => {
  test('MUST-10: SYNs that cross open one connection, at both ends', () => {
    const { simulation, states, each } = crossing();
    simulation.run(1_000_000);
    each((name) => {
      assert.equal(states[name], ['SYN-SENT', 'SYN-RECEIVED', 'ESTABLISHED'], name);
      assert.is(simulation.host(name).stack.usage().connections, 1);
    });
  });

  test('MUST-10: whichever of its first six packets are lost', () => {
    for (let mask = 1; mask < 64; mask += 1) {
      const { simulation, each } = crossing((turn) => turn <= 6 && (mask & (1 << (turn - 1))) !== 0);
      simulation.run(60_000_000);
      each((name, id) => {
        const { stack } = simulation.host(name);
        assert.is(stack.info(id)?.state, 'ESTABLISHED', `lost ${mask.toString(2)}: ${name}`);
        assert.is(stack.usage().connections, 1);
      });
      const { nowUs } = simulation;
      each((name, id) =>
        assert.ok(simulation.host(name).stack.send(id, Buffer.from(`from ${name}`), nowUs).ok),
      );
      simulation.run(120_000_000);
      each((name, id) => {
        const got = simulation.host(name).stack.receive(id, 100, simulation.nowUs);
        assert.is(got.ok && Buffer.from(got.value.data).toString(), `from ${name === 'a' ? 'b' : 'a'}`);
      });
    }
  });

  test('FINs that cross: CLOSING and TIME-WAIT at both ends, and nothing is left', () => {
    const { simulation, states, each } = crossing();
    simulation.run(1_000_000);
    each((name, id) => assert.ok(simulation.host(name).stack.shutdown(id, simulation.nowUs).ok));
    simulation.run(120_000_000);
    each((name) => {
      assert.equal(states[name]?.slice(3), ['FIN-WAIT-1', 'CLOSING', 'TIME-WAIT', 'CLOSED'], name);
      assert.is(simulation.host(name).stack.usage().connections, 0);
    });
  });
});
