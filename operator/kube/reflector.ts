/**
 * A copy of a collection that follows the API server: list in pages, watch with bookmarks from there, list again when
 * the version is too old, and try again with growing pauses when anything fails. Only slim records are kept.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import type { Condition } from '#base/errors.ts';
import type { Logger } from '#base/log.ts';
import { Backoff } from './backoff.ts';
import type { KubeClient, KubeObject, ListOptions, WatchEvent } from './client.ts';
import { kubeCondition } from './kube-condition.ts';
import { errorOfAnswer, isExpired, KubeError } from './kube-error.ts';
import type { Resource } from './resource.ts';

export interface ReflectorOptions<R> extends ListOptions {
  readonly client: Pick<KubeClient, 'list' | 'watch'>;
  readonly resource: Resource;
  /** What is kept of an object. */
  readonly slim: (object: KubeObject) => R;
  readonly log: Logger;
  readonly timing?: Partial<ReflectorTiming>;
}

export interface ReflectorTiming {
  readonly pageSize: number;
  /** The server ends a watch after this time and up to as much again. */
  readonly watchSeconds: number;
  /**
   * A watch that is silent for so long is begun anew: its connection may be dead without a sign. A server that is well
   * sends a bookmark each minute.
   */
  readonly silenceMs: number;
  readonly retryFirstMs: number;
  readonly retryMaxMs: number;
}

/** `namespace/name`, or `name` of a cluster-wide object. */
export type ObjectKey = string;

export type ChangeListener<R> = (key: ObjectKey, now: R | undefined, before: R | undefined) => void;

export interface ReflectorCounters {
  lists: number;
  watches: number;
  events: number;
  /** Watches given up as they were silent. */
  silences: number;
  failures: number;
}

export interface Reflector<R> {
  /** Plural name of what is reflected. */
  readonly name: string;
  /** Settles when the collection has been listed once. */
  readonly synced: Promise<void>;
  get(key: ObjectKey): R | undefined;
  list(): IterableIterator<R>;
  readonly size: number;
  /** Told of every object that appears, changes or goes, also when a list shows it. */
  onChange(listener: ChangeListener<R>): void;
  readonly counters: Readonly<ReflectorCounters>;
  conditions(): Condition[];
  start(): void;
  stop(): Promise<void>;
}

/** Retries as client-go's reflector has them. */
const TIMING: ReflectorTiming = {
  pageSize: 500,
  watchSeconds: 240,
  silenceMs: 150_000,
  retryFirstMs: 800,
  retryMaxMs: 30_000,
};

/** A watch that ends sooner without an event is a fault: it must not be begun again and again without a pause. */
const SHORT_WATCH_MS = 1000;

export function createReflector<R>(options: ReflectorOptions<R>): Reflector<R> {
  const { client, resource, slim, log } = options;
  const { namespace, labelSelector, fieldSelector, metadataOnly } = options;
  const scope: ListOptions = {
    ...(namespace === undefined ? {} : { namespace }),
    ...(labelSelector === undefined ? {} : { labelSelector }),
    ...(fieldSelector === undefined ? {} : { fieldSelector }),
    ...(metadataOnly === undefined ? {} : { metadataOnly }),
  };
  const timing = { ...TIMING, ...options.timing };
  const backoff = new Backoff({ firstMs: timing.retryFirstMs, maxMs: timing.retryMaxMs });
  const records = new Map<ObjectKey, R>();
  const listeners: ChangeListener<R>[] = [];
  const counters: ReflectorCounters = { lists: 0, watches: 0, events: 0, silences: 0, failures: 0 };
  const { promise: synced, resolve: resolveSynced } = Promise.withResolvers<void>();
  const stopping = new AbortController();
  let running: Promise<void> | undefined;
  let trouble: Condition | undefined;
  /** Where to go on watching; undefined when everything has to be listed. */
  let version: string | undefined;

  function put(object: KubeObject): void {
    const key = keyOf(object);
    const before = records.get(key);
    const now = slim(object);
    records.set(key, now);
    for (const listener of listeners) listener(key, now, before);
  }

  function remove(key: ObjectKey): void {
    const before = records.get(key);
    if (before === undefined && !records.has(key)) return;
    records.delete(key);
    for (const listener of listeners) listener(key, undefined, before);
  }

  async function list(): Promise<void> {
    counters.lists++;
    const seen = new Set<ObjectKey>();
    let next: string | undefined;
    /** Of the list: it holds when all pages have come, and not before. */
    let listed: string | undefined;
    do {
      const page = await client.list(resource, {
        ...scope,
        signal: stopping.signal,
        limit: timing.pageSize,
        ...(next === undefined ? {} : { continue: next }),
      });
      if (stopping.signal.aborted) return;
      for (const object of page.items) {
        seen.add(keyOf(object));
        put(object);
      }
      listed = page.resourceVersion;
      next = page.continue;
    } while (next !== undefined);
    for (const key of [...records.keys()]) if (!seen.has(key)) remove(key);
    version = listed;
    resolveSynced();
  }

  async function watch(resourceVersion: string): Promise<void> {
    counters.watches++;
    const startedMs = performance.now();
    const eventsBefore = counters.events;
    const timeoutSeconds = Math.round(timing.watchSeconds * (1 + Math.random()));
    const silence = new AbortController();
    const timer = setTimeout(() => silence.abort(), timing.silenceMs);
    const signal = AbortSignal.any([stopping.signal, silence.signal]);
    const onOpen = (): void => {
      trouble = undefined;
    };
    try {
      const events = client.watch(resource, { ...scope, resourceVersion, timeoutSeconds, signal, onOpen });
      for await (const event of events) {
        timer.refresh();
        apply(event);
      }
    } catch (error) {
      if (!silence.signal.aborted) throw error;
      counters.silences++;
      return;
    } finally {
      clearTimeout(timer);
    }
    if (counters.events === eventsBefore && performance.now() - startedMs < SHORT_WATCH_MS) {
      throw new KubeError(0, 'Unreachable', `watch ${resource.plural}: ended at once without an event`);
    }
    backoff.reset();
  }

  function apply({ type, object }: WatchEvent): void {
    if (type === 'ERROR')
      throw errorOfAnswer(`watch ${resource.plural}`, Number(object.code ?? 0), JSON.stringify(object));
    version = object.metadata?.resourceVersion ?? version;
    counters.events++;
    backoff.reset();
    if (type === 'DELETED') remove(keyOf(object));
    else if (type !== 'BOOKMARK') put(object);
  }

  async function follow(): Promise<void> {
    const { signal } = stopping;
    while (!signal.aborted) {
      try {
        if (version === undefined) {
          await list();
          trouble = undefined;
        }
        if (version !== undefined && !signal.aborted) await watch(version);
      } catch (error) {
        if (signal.aborted) return;
        const pauseMs = failed(error);
        await sleep(pauseMs, undefined, { signal }).catch(() => undefined);
      }
    }
  }

  /** How long to wait before the next try. */
  function failed(error: unknown): number {
    const listing = version === undefined;
    if (isExpired(error)) {
      version = undefined;
      // No fault, as long as the list that follows does not expire between its pages.
      if (!listing) return backoff.next();
    }
    counters.failures++;
    const verb = listing ? 'list' : 'watch';
    trouble = kubeCondition(`${verb} ${resource.plural}`, error);
    const asked = error instanceof KubeError ? (error.retryAfterMs ?? 0) : 0;
    const pauseMs = Math.max(asked, backoff.next());
    log.log('warn', `cannot ${verb} ${resource.plural}, will try again`, {
      error: error instanceof Error ? error.message : String(error),
      pauseMs: Math.round(pauseMs),
    });
    return pauseMs;
  }

  return {
    name: resource.plural,
    synced,
    get: (key) => records.get(key),
    list: () => records.values(),
    get size() {
      return records.size;
    },
    onChange: (listener) => void listeners.push(listener),
    counters,
    conditions: () => (trouble === undefined ? [] : [trouble]),
    start() {
      running ??= follow();
    },
    async stop() {
      stopping.abort();
      await running;
    },
  };
}

/** Counters of several, by name: `lists.pods`. */
export function countersOf(reflectors: readonly Reflector<unknown>[]): Record<string, number> {
  return Object.fromEntries(
    reflectors.flatMap(({ name, counters }) =>
      Object.entries(counters).map(([what, count]) => [`${what}.${name}`, count]),
    ),
  );
}

/** How many objects several hold, by name. */
export function sizesOf(reflectors: readonly Reflector<unknown>[]): Record<string, number> {
  return Object.fromEntries(reflectors.map(({ name, size }) => [name, size]));
}

export function keyOf({ metadata }: KubeObject): ObjectKey {
  const name = metadata?.name ?? '';
  return metadata?.namespace === undefined ? name : `${metadata.namespace}/${name}`;
}
