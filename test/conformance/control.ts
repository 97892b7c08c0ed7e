/** The lines of PATH.control: `set NAME VALUE`, `states`, `drop STATE`. */

import type { StateName } from '../../daemon/tcp/types.ts';
import { applySetting } from './settings.ts';
import type { World } from './world.ts';

/** RFC 9293 section 3.3.2 */
const STATES: readonly StateName[] = [
  'LISTEN',
  'SYN-SENT',
  'SYN-RECEIVED',
  'ESTABLISHED',
  'FIN-WAIT-1',
  'FIN-WAIT-2',
  'CLOSE-WAIT',
  'CLOSING',
  'LAST-ACK',
  'TIME-WAIT',
];

/** Answers the lines that answer a line. */
export function obey(world: World, line: string): string[] {
  const [command = '', name = '', ...rest] = line.trim().split(/\s+/);
  switch (command) {
    case 'set':
      return [applySetting(world.knobs, name, rest.join(' '))];
    case 'states':
      return states(world);
    case 'drop':
      return [drop(world, name)];
    default:
      return [`unknown ${command}`];
  }
}

/** Listeners first, then connections, each in the order they were opened. */
function states({ stack, sockets }: World): string[] {
  const listeners = [...stack.listeners()].map(({ id, address, port }) => {
    const any = sockets.familyOf(id) === 6 ? '::' : '0.0.0.0';
    return `${address?.text ?? any} ${port} ${address?.family === 6 ? '::' : any} 0 LISTEN`;
  });
  const connections = [...stack.connections()].flatMap((id) => {
    const info = stack.info(id);
    if (info === undefined) return [];
    const { local, remote, state } = info;
    return [`${local.address.text} ${local.port} ${remote.address.text} ${remote.port} ${state}`];
  });
  return [...listeners, ...connections];
}

/** Without a packet: as if this end had been restarted. A listener is no connection, and stays. */
function drop(world: World, name: string): string {
  const state = STATES.find((known) => known === name);
  if (state === undefined) return `unknown ${name}`;
  const { stack, nowUs } = world;
  const inState = [...stack.connections()].filter((id) => stack.info(id)?.state === state);
  for (const id of inState) stack.forget(id, nowUs);
  world.settle();
  return 'ok';
}
