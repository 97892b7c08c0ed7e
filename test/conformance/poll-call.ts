/** poll(2): struct pollfd is a descriptor (i32), the events asked for (i16) and those that are (i16). */

import type { World } from './world.ts';

const POLLFD_BYTES = 8;
const POLLIN = 0x1;
const POLLPRI = 0x2;
const POLLOUT = 0x4;
const POLLERR = 0x8;
const POLLHUP = 0x10;
const POLLNVAL = 0x20;
const POLLRDNORM = 0x40;
const POLLWRNORM = 0x100;
const POLLRDHUP = 0x2000;
/** Told whether they were asked for or not. */
const ALWAYS = POLLERR | POLLHUP | POLLNVAL;

/** Fills in what is ready now, and counts the descriptors that something is true of. */
export function pollNow(
  world: World,
  asked: Uint8Array,
): { readonly ready: number; readonly answered: Uint8Array } {
  const answered = asked.slice();
  const view = new DataView(answered.buffer);
  let ready = 0;
  for (let at = 0; at < answered.length; at += POLLFD_BYTES) {
    const events = view.getUint16(at + 4, true);
    const found = eventsOf(world, view.getInt32(at, true)) & (events | ALWAYS);
    view.setUint16(at + 6, found, true);
    if (found !== 0) ready += 1;
  }
  return { ready, answered };
}

function eventsOf(world: World, fd: number): number {
  // A negative one is left out.
  if (fd < 0) return 0;
  const descriptor = world.descriptors.get(fd);
  if (descriptor === undefined) return POLLNVAL;
  const is = world.sockets.readiness(descriptor.socket);
  return (
    (is.in ? POLLIN | POLLRDNORM : 0) |
    (is.pri ? POLLPRI : 0) |
    (is.out ? POLLOUT | POLLWRNORM : 0) |
    (is.err ? POLLERR : 0) |
    (is.hup ? POLLHUP : 0) |
    (is.rdhup ? POLLRDHUP : 0)
  );
}
