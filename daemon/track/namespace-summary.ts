/** Network namespaces as a report carries them: those that lose most first, and the counters of all in sum. */

import type { CounterReading, NamespaceFacts, SocketSummary } from '#contract';
import { LOSS_COUNTERS, NAMESPACE_LIMITS } from '#contract';
import type { CounterSums } from './namespace-counters.ts';
import type { NamespaceNumbers } from './namespace-numbers.ts';
import type { NamespaceOfSockets } from './namespace-sockets.ts';

type Namespace = Pick<NamespaceOfSockets, 'inode' | 'numbers' | 'pod'>;

/** @param others those of them that never had a socket are left out */
export function summarizeNamespaces(
  own: Namespace,
  others: readonly Namespace[],
  sums: CounterSums,
): Pick<SocketSummary, 'namespaces' | 'namespacesFolded' | 'counters' | 'memory'> {
  const used = others.filter(({ numbers: { sockstat } }) => sockstat.inUse + sockstat.timeWait > 0);
  const worstFirst = used
    .map((namespace) => ({ namespace, ...severity(namespace.numbers) }))
    .sort((a, b) => b.losing - a.losing || b.lost - a.lost || b.sockets - a.sockets)
    .map(({ namespace }) => namespace);
  const told = [own, ...worstFirst.slice(0, NAMESPACE_LIMITS.namespaces - 1)];
  return {
    namespaces: told.map((namespace) => factsOf(namespace, namespace === own)),
    namespacesFolded: 1 + used.length - told.length,
    counters: sumOf([own, ...others], sums),
    memory: own.numbers.sockstat.memory,
  };
}

function severity({ counters, sockstat }: NamespaceNumbers) {
  let losing = 0;
  let lost = 0;
  for (const name of LOSS_COUNTERS) {
    losing += counters.perSecond(name) ?? 0;
    lost += counters.total(name);
  }
  return { losing, lost, sockets: sockstat.inUse + sockstat.timeWait };
}

function factsOf({ inode, pod, numbers }: Namespace, own: boolean): NamespaceFacts {
  const { sockstat, counters, settings } = numbers;
  return {
    inode,
    own,
    ...(pod === undefined ? {} : { pod: pod.uid }),
    inUse: sockstat.inUse,
    timeWait: sockstat.timeWait,
    counters: counters.readings(),
    ...(settings === undefined ? {} : { settings }),
  };
}

function sumOf(namespaces: readonly Namespace[], { totals }: CounterSums): Record<string, CounterReading> {
  return Object.fromEntries(
    Array.from(totals, ([name, total]) => {
      const perSecond = namespaces.reduce(
        (sum, { numbers }) => sum + (numbers.counters.perSecond(name) ?? 0),
        0,
      );
      return [name, { total, perSecond }];
    }),
  );
}
