/**
 * A TUN device: packets without a link layer, in and out through a file descriptor. The device lives as long as
 * the descriptor is open, and its addresses and routes go with it, whatever ends the process.
 * linux/if_tun.h
 */

import { FinwaitError } from '#base/errors.ts';
import { hasCapability } from './capabilities.ts';
import * as libc from './libc.ts';

const TUN_PATH = '/dev/net/tun';
const TUNSETIFF = 0x400454ca;
const IFF_TUN = 0x0001;
const IFF_NO_PI = 0x1000;
/** Refuses to take over a device that exists, such as a persistent one of somebody else. */
const IFF_TUN_EXCL = 0x8000;
const IFREQ_BYTES = 40;
const IFREQ_FLAGS = 16;
const ENXIO = 6;

/** How many names after the wanted one are tried. */
const DEVICE_NAMES_TRIED = 32;

export interface TunDevice {
  readonly fd: number;
  readonly name: string;
  /** How many names were taken before this one; 0 for the wanted one. */
  readonly number: number;
}

/**
 * Makes the device and opens it non-blocking and close-on-exec.
 * @param wanted at most 15 bytes. A number at its end is counted up while the name is taken, unless `exact`
 * @throws FinwaitError TUN_MISSING, TUN_DENIED, TUN_BUSY
 */
export function openTun(wanted: string, exact: boolean): TunDevice {
  const fd = libc.open(TUN_PATH, libc.O_RDWR | libc.O_NONBLOCK | libc.O_CLOEXEC);
  if (fd < 0) throw openError(-fd);
  const [, stem = wanted, digits = ''] = /^(.*?)(\d*)$/.exec(wanted) ?? [];
  const first = digits === '' ? 0 : Number(digits);
  let errno = 0;
  for (let number = 0; number < (exact ? 1 : DEVICE_NAMES_TRIED); number++) {
    const name = number === 0 ? wanted : `${stem}${first + number}`;
    const made = libc.ioctl(fd, TUNSETIFF, interfaceRequest(name));
    if (made >= 0) return { fd, name, number };
    errno = -made;
    if (errno !== libc.EBUSY && errno !== libc.EEXIST) break;
  }
  libc.close(fd);
  throw createError(wanted, exact, errno);
}

/** `struct ifreq` for TUNSETIFF. */
function interfaceRequest(name: string): Uint8Array {
  const request = new Uint8Array(IFREQ_BYTES);
  request.set(new TextEncoder().encode(name).subarray(0, IFREQ_FLAGS - 1));
  new DataView(request.buffer).setUint16(IFREQ_FLAGS, IFF_TUN | IFF_NO_PI | IFF_TUN_EXCL, true);
  return request;
}

function openError(errno: number): FinwaitError {
  const reason = `${TUN_PATH} cannot be opened: ${libc.errnoName(errno)}`;
  if (errno === libc.ENOENT || errno === libc.ENODEV || errno === ENXIO) {
    return new FinwaitError(
      'TUN_MISSING',
      reason,
      'on a machine: `modprobe tun`; in a container: add the device (docker run --device /dev/net/tun); ' +
        'in Kubernetes: mount it (hostPath /dev/net/tun, type CharDevice)',
    );
  }
  if (errno === libc.EPERM && hasCapability('NET_ADMIN')) {
    return new FinwaitError(
      'TUN_DENIED',
      `${reason}, although NET_ADMIN is there: the device cgroup of this container forbids it`,
      'allow the device `c 10:200 rwm` (docker run --device /dev/net/tun); ' +
        'runc 1.2.0 to 1.2.3 had dropped it from what every container may use: update to 1.2.4 or later',
    );
  }
  return new FinwaitError(
    'TUN_DENIED',
    reason,
    `run as root with the capability NET_ADMIN, or give this user read and write permission on ${TUN_PATH} and NET_ADMIN`,
  );
}

function createError(wanted: string, exact: boolean, errno: number): FinwaitError {
  const reason = libc.errnoName(errno);
  if (errno === libc.EBUSY || errno === libc.EEXIST) {
    return exact
      ? new FinwaitError(
          'TUN_BUSY',
          `there is a device ${wanted} already`,
          'choose another name with --device',
        )
      : new FinwaitError(
          'TUN_BUSY',
          `the ${DEVICE_NAMES_TRIED} device names from ${wanted} on are all taken`,
          'stop other runs of finwait, or choose another name with --device',
        );
  }
  if (errno === libc.EPERM) {
    return new FinwaitError(
      'TUN_DENIED',
      `the device ${wanted} cannot be made: ${reason}`,
      hasCapability('NET_ADMIN')
        ? 'the capability NET_ADMIN is there, but not over this network namespace: run finwait in the namespace that owns it'
        : 'the capability NET_ADMIN is missing: run as root, or grant it ' +
            '(docker run --cap-add NET_ADMIN; Kubernetes: securityContext.capabilities.add: [NET_ADMIN])',
    );
  }
  return new FinwaitError(
    'TUN_DENIED',
    `the device ${wanted} cannot be made: ${reason}`,
    'choose another name with --device: 1 to 15 letters, digits, `-` or `_`',
  );
}
