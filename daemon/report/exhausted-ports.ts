/**
 * Ports that run out: local ones, and those of addresses that source NAT puts in place of others. Use goes up and down
 * as TIME-WAIT ends, so what has begun to stand stands until it has been well for a while, under the same name.
 */

import type { Condition } from '#base/errors.ts';
import { hostPortText } from '#base/host-port.ts';
import type { PortUse, SocketSummary, SourceNatUse } from '#contract';

/** From this part on they run out. */
const NEAR_PART = 0.9;
/** From this part on they run out where they would all be in use so soon, and that has gone on for so long. */
const RISING_PART = 0.7;
const SOON_MS = 5 * 60_000;
/** Any load that begins rises for as long as TIME-WAIT lasts, and most do not go on. */
const RISING_MS = 90_000;
/** It is over when less than this was in use for so long. */
const CALM_PART = 0.8;
const CALM_MS = 60_000;
/** And at so many looks, which are far apart where sweeps are costly. */
const CALM_LOOKS = 2;

interface Figures {
  readonly used: number;
  readonly usable: number;
  readonly exhaustedInMs?: number;
}

interface Watched<Use> {
  /** As it was when it was last among those that are told. */
  readonly use: Use;
  /** Since when they would soon be in use. */
  readonly risingMs: number | undefined;
  /** When they were last running out, and whether there was a time since then when none was left. */
  readonly pressedMs: number;
  readonly none: boolean;
}

/** Of one kind of ports. */
class Watch<Use extends Figures> {
  readonly #keyOf: (use: Use) => string;
  /** In use from this part on, hardly anybody is given one. */
  readonly #nonePart: number;
  #watched: ReadonlyMap<string, Watched<Use>> = new Map();
  #told: string | undefined;
  #lookedMs: number | undefined;
  #calmMs = CALM_MS;

  constructor(keyOf: (use: Use) => string, nonePart: number) {
    this.#keyOf = keyOf;
    this.#nonePart = nonePart;
  }

  /** @returns what runs out: what was told of before as long as it does, else the worst */
  update(uses: readonly Use[], nowMs: number): Watched<Use> | undefined {
    this.#calmMs = Math.max(CALM_MS, CALM_LOOKS * (nowMs - (this.#lookedMs ?? nowMs)));
    this.#lookedMs = nowMs;
    const watched = new Map(uses.map((use) => [this.#keyOf(use), this.#look(use, nowMs)] as const));
    // One that is no longer among those told rises no longer, as far as can be seen.
    for (const [key, before] of this.#watched) {
      if (!watched.has(key)) watched.set(key, { ...before, risingMs: undefined });
    }
    for (const [key, { pressedMs, risingMs }] of watched) {
      const isOver = nowMs - pressedMs >= this.#calmMs;
      if (isOver && risingMs === undefined) watched.delete(key);
      if (isOver && key === this.#told) this.#told = undefined;
    }
    this.#watched = watched;
    const [worst] = [...watched]
      .filter(([, { pressedMs }]) => nowMs - pressedMs < this.#calmMs)
      .sort(([, a], [, b]) => Number(b.none) - Number(a.none) || part(b.use) - part(a.use));
    this.#told ??= worst?.[0];
    return this.#told === undefined ? undefined : watched.get(this.#told);
  }

  #look(use: Use, nowMs: number): Watched<Use> {
    const before = this.#watched.get(this.#keyOf(use));
    const stood = before !== undefined && nowMs - before.pressedMs < this.#calmMs;
    const rising = part(use) >= RISING_PART && (use.exhaustedInMs ?? Number.POSITIVE_INFINITY) <= SOON_MS;
    const risingMs = rising ? (before?.risingMs ?? nowMs) : undefined;
    const runsOut =
      part(use) >= (stood ? CALM_PART : NEAR_PART) ||
      (risingMs !== undefined && nowMs - risingMs >= RISING_MS);
    return {
      use,
      risingMs,
      pressedMs: runsOut ? nowMs : (before?.pressedMs ?? Number.NEGATIVE_INFINITY),
      none: part(use) >= this.#nonePart || (stood && before.none),
    };
  }
}

export class ExhaustedPorts {
  readonly #local = new Watch<PortUse>(
    ({ netns, pod, source, destination }) =>
      `${netns} ${pod?.uid} ${source} ${hostPortText(destination.address, destination.port)}`,
    1,
  );
  /** The rule of the NAT may leave it fewer ports than are taken for usable: then they run out sooner, not later. */
  readonly #sourceNat = new Watch<SourceNatUse>(
    ({ address, destination }) => `${address} ${hostPortText(destination.address, destination.port)}`,
    0.99,
  );
  #conditions: readonly Condition[] = [];

  /** Takes what a sweep found; what could not be read is as it was, for a while. */
  update(
    {
      sockets,
      conntrack,
    }: {
      sockets?: Pick<SocketSummary, 'ports'>;
      conntrack?: { sourceNat?: { destinations: readonly SourceNatUse[] } };
    },
    nowMs: number,
  ): void {
    const local = this.#local.update(sockets?.ports?.destinations ?? [], nowMs);
    const sourceNat = this.#sourceNat.update(conntrack?.sourceNat?.destinations ?? [], nowMs);
    this.#conditions = [
      ...(local === undefined ? [] : [ofLocal(local)]),
      ...(sourceNat === undefined ? [] : [ofSourceNat(sourceNat)]),
    ];
  }

  /** Without numbers that change from sweep to sweep. */
  conditions(): readonly Condition[] {
    return this.#conditions;
  }
}

function ofLocal({ use: { source, destination, netns, pod }, none }: Watched<PortUse>): Condition {
  const where =
    pod !== undefined ? ` in pod ${pod.uid}` : netns !== undefined ? ` in network namespace ${netns}` : '';
  const option = pod !== undefined ? ` --pod ${pod.uid}` : netns !== undefined ? ` --netns ${netns}` : '';
  const ends = `from ${source} to ${hostPortText(destination.address, destination.port)}${where}`;
  return {
    code: 'PORTS_EXHAUSTED',
    message: none
      ? `there are times when no local port is left ${ends}: connections fail to open (EADDRNOTAVAIL)`
      : `local ports ${ends} run out: when none is left, connections fail to open (EADDRNOTAVAIL)`,
    hint: `finwait ports${option} tells how many are left; keep connections and use them again (keep-alive, a pool), widen net.ipv4.ip_local_port_range, or set net.ipv4.tcp_tw_reuse=1 where most are in TIME-WAIT`,
  };
}

function ofSourceNat({ use: { address, destination }, none }: Watched<SourceNatUse>): Condition {
  const ends = `as ${address} to ${hostPortText(destination.address, destination.port)}`;
  return {
    code: 'PORTS_EXHAUSTED',
    message: none
      ? `there are times when source NAT has hardly a port left ${ends}: connections time out as they open, for their SYNs are dropped`
      : `the ports of source NAT ${ends} run out: when hardly any is left, connections time out as they open`,
    hint: 'finwait ports --nat tells who uses them; keep connections and use them again (keep-alive, a pool), or give the NAT rule more addresses',
  };
}

function part({ used, usable }: Figures): number {
  return usable === 0 ? 1 : used / usable;
}
