/** What to do about a fault of agent or operator, for somebody who runs them through `finwait up`. */

import type { Condition, ErrorCode } from '#base/errors.ts';
import { UP_SETTINGS } from './up-settings.ts';

const OPTIONS: ReadonlySet<string> = new Set(Object.values(UP_SETTINGS).map(({ name }) => `--${name}`));

const RUN_DIRECTORY =
  'start finwait up again, with room in its private directory (/run/finwait for root, else in XDG_RUNTIME_DIR or /tmp)';

/** For hints of theirs that name options which `finwait up` does not have. */
const HINTS: Partial<Record<ErrorCode, string>> = {
  PORT_IN_USE: 'end the other program, or choose another port for the page with --web-port (0 takes any)',
  LISTEN_FAILED: 'choose another port for the page with --web-port (0 takes any that is free)',
  TLS_DIR_UNUSABLE: RUN_DIRECTORY,
  TOKEN_UNREADABLE: RUN_DIRECTORY,
  PROBES_OFF: 'start finwait up without --observe, or without targets',
  REPORTS_DROPPED: 'see why the operator was away: --log-file FILE keeps what it says',
  NFTABLES_UNAVAILABLE:
    'load nf_tables with ct, nat and masquerade (modprobe nf_tables nft_ct nft_chain_nat nft_masq), or use --no-footprint and no --allow-forwarding',
};

/** The hint to print in place of that of agent or operator. */
export function hintInUp({ code, hint }: Condition): string {
  const foreign = hint.match(/--[a-z][a-z0-9-]*/g)?.some((option) => !OPTIONS.has(option));
  return foreign === true ? (HINTS[code] ?? hint) : hint;
}

/** The condition with a hint that holds for `finwait up`. */
export function conditionInUp(condition: Condition): Condition {
  return { ...condition, hint: hintInUp(condition) };
}
