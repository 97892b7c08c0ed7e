import type { IcmpErrorKind } from '../wire/icmp-kinds.ts';

/** `host unreachable (3/1)`: an ICMP error's meaning with its type and code; with `mtu` what it asks for. */
export function icmpText(error: {
  readonly kind: IcmpErrorKind;
  readonly type: number;
  readonly code: number;
  readonly mtu?: number;
}): string {
  const mtu = error.mtu === undefined ? '' : `, MTU ${error.mtu}`;
  return `${error.kind.replaceAll('-', ' ')} (${error.type}/${error.code}${mtu})`;
}
