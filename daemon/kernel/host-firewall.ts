/** What can be read of firewalls that may drop what the engine needs forwarded. */

import { readFileSync } from 'node:fs';
import type { Condition } from '#base/errors.ts';
import { NF_INET_HOOK, NFPROTO } from '../netlink/nftables.ts';
import type { Family } from '../wire/address.ts';
import { NetlinkError } from './netlink-socket.ts';
import { Nftables } from './nftables-table.ts';

/** @returns why forwarded packets may be dropped; undefined when nothing readable says so */
export function whyForwardingMayDrop(device: string, family: Family): Condition | undefined {
  const chain = droppingChain(family);
  const allow = `allow what enters and leaves by ${device} there`;
  if (chain !== undefined)
    return {
      code: 'FORWARDING_DROPPED',
      message: `the nftables chain ${chain} drops forwarded packets that none of its rules accepts`,
      hint: `if probes of other machines see silence, ${allow}, e.g. \`iptables -I FORWARD -i ${device} -j ACCEPT\` and the same with -o`,
    };
  if (!hasLegacyFilter(family)) return undefined;
  return {
    code: 'FORWARDING_DROPPED',
    message: 'there are rules of iptables-legacy, which cannot be read here: whether they drop is unknown',
    hint: `if probes of other machines see silence, look at \`iptables-legacy -L FORWARD\` and ${allow}`,
  };
}

/** `ip filter FORWARD`, where the policy is to drop. */
function droppingChain(family: Family): string | undefined {
  const own = family === 4 ? NFPROTO.ipv4 : NFPROTO.ipv6;
  try {
    using nftables = new Nftables();
    const chain = nftables
      .baseChains()
      .find(
        (each) =>
          each.policy === 'drop' &&
          each.hook === NF_INET_HOOK.forward &&
          (each.family === own || each.family === NFPROTO.inet),
      );
    if (chain === undefined) return undefined;
    const name = chain.family === NFPROTO.inet ? 'inet' : family === 4 ? 'ip' : 'ip6';
    return `${name} ${chain.table} ${chain.name}`;
  } catch (error) {
    if (error instanceof NetlinkError) return undefined; // no nftables here, so no chain of it either
    throw error;
  }
}

function hasLegacyFilter(family: Family): boolean {
  const list = family === 4 ? 'ip_tables_names' : 'ip6_tables_names';
  try {
    return readFileSync(`/proc/thread-self/net/${list}`, 'utf8').split('\n').includes('filter');
  } catch {
    return false; // iptables-legacy is not in this kernel
  }
}
