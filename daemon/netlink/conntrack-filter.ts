/** Which events of conntrack the kernel queues at all: those of TCP, and of these only some states. */

import {
  accept,
  assemble,
  findAttribute,
  findNested,
  jumpIfEqual,
  load,
  loadByte,
  loadByteAtX,
  loadX,
  reject,
  toX,
} from './bpf.ts';
import {
  CONNTRACK_TCP_STATES,
  type ConntrackTcpState,
  CTA,
  CTA_PROTO,
  CTA_PROTOINFO_TCP,
  CTA_TCP,
  CTA_TUPLE,
  IPCTNL,
  IPPROTO_TCP,
} from './ctnetlink-attributes.ts';

/** The first attribute: behind `nlmsghdr` and `nfgenmsg`. */
const FIRST_ATTRIBUTE = 20;
/** The low byte of `nlmsg_type`, which is little-endian. */
const OPERATION = 4;
const PAYLOAD = 4;

/**
 * A program for SO_ATTACH_FILTER that lets flows of TCP pass.
 * @param states if any are given, only flows in one of these; the end of a flow, and what tells no state, passes always
 */
export function tcpEventsFilter(states: readonly ConntrackTcpState[] = []): Uint8Array {
  return assemble([
    load(FIRST_ATTRIBUTE),
    loadX(CTA.tupleOriginal),
    findAttribute(),
    jumpIfEqual(0, 'reject'),
    loadX(CTA_TUPLE.proto),
    findNested(),
    jumpIfEqual(0, 'reject'),
    loadX(CTA_PROTO.number),
    findNested(),
    jumpIfEqual(0, 'reject'),
    toX(),
    loadByteAtX(PAYLOAD),
    jumpIfEqual(IPPROTO_TCP, undefined, 'reject'),
    ...(states.length === 0 ? [accept('accept'), reject('reject')] : inStates(states)),
  ]);
}

function inStates(states: readonly ConntrackTcpState[]) {
  return [
    loadByte(OPERATION),
    jumpIfEqual(IPCTNL.delete, 'accept'),
    load(FIRST_ATTRIBUTE),
    loadX(CTA.protoInfo),
    findAttribute(),
    jumpIfEqual(0, 'accept'),
    loadX(CTA_PROTOINFO_TCP),
    findNested(),
    jumpIfEqual(0, 'accept'),
    loadX(CTA_TCP.state),
    findNested(),
    jumpIfEqual(0, 'accept'),
    toX(),
    loadByteAtX(PAYLOAD),
    ...states.map((state) => jumpIfEqual(CONNTRACK_TCP_STATES.indexOf(state), 'accept')),
    reject('reject'),
    accept('accept'),
  ];
}
