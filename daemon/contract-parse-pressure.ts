/** The shapes of what a report tells of ports that run out, and of sockets and conntrack that do not tell the same. */

import type { Shape } from '#base/shape.ts';
import { among, integerIn, list, numberIn, object, optional, text } from '#base/shape.ts';
import type {
  Divergence,
  DivergentAges,
  DivergentSample,
  DivergentState,
  Endpoint,
  PodRef,
  PortPressure,
  PortUse,
  SourceNatPressure,
  SourceNatUse,
} from '#contract';
import { PRESSURE_LIMITS } from '#contract';

type Consumer = SourceNatUse['consumers'][number];

const count = integerIn(0, 0xffff_ffff);
const durationMs = numberIn(0, Number.MAX_SAFE_INTEGER);
const rate = numberIn(-0xffff_ffff, 0xffff_ffff);

/** @param shapes those of the rest of the contract */
export function pressureShapes({
  address,
  endpoint,
  pod,
  netns,
}: {
  readonly address: Shape<string>;
  readonly endpoint: Shape<Endpoint>;
  readonly pod: Shape<PodRef>;
  readonly netns: Shape<number>;
}) {
  const portUse = object<PortUse>({
    pod: optional(pod),
    netns: optional(netns),
    source: address,
    destination: endpoint,
    used: count,
    usable: count,
    timeWait: count,
    reusable: count,
    bound: count,
    perMinute: optional(rate),
    exhaustedInMs: optional(durationMs),
  });
  const sourceNatUse = object<SourceNatUse>({
    address,
    destination: endpoint,
    used: count,
    usable: count,
    waiting: count,
    usableBasis: optional(among('assumed')),
    consumers: list(
      object<Consumer>({ source: address, count, pod: optional(pod) }),
      PRESSURE_LIMITS.consumers,
    ),
    perMinute: optional(rate),
    exhaustedInMs: optional(durationMs),
  });
  const divergent = list(
    object<DivergentState>({
      state: text(32),
      count,
      ages: object<DivergentAges>({
        underMinute: count,
        underTenMinutes: count,
        underHour: count,
        older: count,
        unknown: count,
      }),
      keptLong: optional(count),
      samples: list(
        object<DivergentSample>({
          local: endpoint,
          peer: endpoint,
          ageMs: durationMs,
          ageBasis: optional(among('at-least')),
          timeoutMs: optional(durationMs),
        }),
        PRESSURE_LIMITS.divergentSamples,
      ),
    }),
    PRESSURE_LIMITS.divergentStates,
  );
  return {
    ports: object<PortPressure>({
      destinations: list(portUse, PRESSURE_LIMITS.ports),
      folded: count,
    }),
    sourceNat: object<SourceNatPressure>({
      destinations: list(sourceNatUse, PRESSURE_LIMITS.sourceNat),
      folded: count,
    }),
    divergence: object<Divergence>({
      sockets: count,
      flows: count,
      through: count,
      untracked: count,
      socketsWithoutFlow: divergent,
      flowsWithoutSocket: divergent,
      unsettled: count,
      disbelief: optional(among('conntrack-idle', 'conntrack-incomplete', 'sockets-incomplete')),
    }),
  };
}
