/** A run of the host part in a process of its own, told by IPC what to do. See host-run.ts. */

import { FinwaitError } from '#base/errors.ts';
import type { HostTun, HostTunConfig } from '../../daemon/kernel/host-tun.ts';
import { openHostTun } from '../../daemon/kernel/host-tun.ts';
import { createPoller } from '../../daemon/kernel/poller.ts';
import type { Answer, Command, Packet } from './host-run.ts';
import { decodePacket, echoRequest, segment } from './packets.ts';

let tun: HostTun | undefined;

process.on('message', (command: Command) => {
  let answer: Answer;
  try {
    answer = { value: obey(command) };
  } catch (error) {
    if (!(error instanceof FinwaitError)) throw error;
    answer = { error: { code: error.code, message: error.message, hint: error.hint } };
  }
  process.send?.(answer, () => {
    if (command.do === 'close') process.disconnect?.();
  });
});

function obey(command: Command): unknown {
  if (command.do === 'open') {
    tun = openHostTun(command.config as HostTunConfig);
    const { device, mtu, engineV4, engineV6, hostV4, hostV6 } = tun;
    return { device, mtu, engineV4, engineV6, hostV4, hostV6 };
  }
  if (tun === undefined) throw new Error('not open');
  switch (command.do) {
    case 'way':
      return tun.way(command.address);
    case 'conditions':
      return tun.conditions;
    case 'look':
      return { ...tun.look(), counters: tun.counters() };
    case 'dropped':
      return tun.dropped();
    case 'ping':
      return exchange(tun, command.address, /^echo/, (from) => echoRequest(from, command.address));
    case 'segment':
      return exchange(tun, command.address, /ACK|RST/, (from) => segment(from, command.address, command));
    case 'close':
      tun[Symbol.dispose]();
      return undefined;
  }
}

/** Sends a packet and waits for its kind of answer from where it went. */
function exchange(
  tun: HostTun,
  address: string,
  kind: RegExp,
  packet: (from: string) => Uint8Array,
): Packet | undefined {
  const from = (address.includes(':') ? tun.engineV6 : tun.engineV4) ?? '';
  const sent = tun.write(packet(from));
  if (sent < 0) throw new Error(`write: ${sent}`);
  using poller = createPoller(tun.fd);
  const into = new Uint8Array(65_535);
  const endMs = performance.now() + 2_000;
  while (performance.now() < endMs) {
    if (!poller.wait(endMs - performance.now())) continue;
    const length = tun.read(into);
    const got = decodePacket(into.subarray(0, Math.max(length, 0)));
    if (got?.source === address && kind.test(got.what)) return got;
  }
  return undefined;
}
