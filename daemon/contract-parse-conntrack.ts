/** The shape of what a report tells of conntrack beyond its fill. */

import type { Shape } from '#base/shape.ts';
import { among, boolean, integerIn, list, numberIn, object, optional, text } from '#base/shape.ts';
import type { ConntrackActivity, FlowConsumer, FlowDestination, FlowTraffic } from '#contract';
import { CONNTRACK_ACTIVITY_LIMITS } from '#contract';

const LIMITS = CONNTRACK_ACTIVITY_LIMITS;
const total = integerIn(0, Number.MAX_SAFE_INTEGER);
const count = integerIn(0, 0xffff_ffff);
const rate = numberIn(-0xffff_ffff, 0xffff_ffff);
const durationMs = numberIn(0, Number.MAX_SAFE_INTEGER);
const traffic = object<FlowTraffic>({ packets: total, bytes: total });
/** A word of the agent's; another version of it may know more of them. */
const word = text(32, /^[A-Za-z-]+$/, 'is not a word');

/** @param address the shape that the rest of the contract has for it */
export function conntrackActivity(address: Shape<string>): Shape<ConntrackActivity> {
  const consumer = { address, count, sent: optional(traffic), received: optional(traffic) };
  const sources = list(object<FlowConsumer>(consumer), LIMITS.consumers);
  const destinations = list(
    object<FlowDestination>({ ...consumer, port: integerIn(0, 65_535) }),
    LIMITS.consumers,
  );
  return object<ConntrackActivity>({
    followed: among('events', 'dumps'),
    settings: object<ConntrackActivity['settings']>({
      events: among('on', 'on-demand', 'off'),
      accounting: boolean,
      timestamps: boolean,
    }),
    begunPerS: optional(rate),
    endedPerS: optional(rate),
    growthPerS: optional(rate),
    toFullMs: optional(durationMs),
    ends: list(object<ConntrackActivity['ends'][number]>({ reason: word, count: total }), LIMITS.ends),
    lifetimes: list(
      object<ConntrackActivity['lifetimes'][number]>({
        basis: among('kernel', 'seen'),
        counts: list(total, LIMITS.lifetimes),
        sumMs: numberIn(0, Number.MAX_SAFE_INTEGER),
      }),
      2,
    ),
    lifetimeBoundsMs: list(durationMs, LIMITS.lifetimes),
    lifetimesUnknown: total,
    sources,
    destinations,
    sourcesByBytes: optional(sources),
    destinationsByBytes: optional(destinations),
    oldestFlowMs: optional(durationMs),
    statistics: list(
      object<ConntrackActivity['statistics'][number]>({ name: word, total, perS: optional(rate) }),
      LIMITS.statistics,
    ),
  });
}
