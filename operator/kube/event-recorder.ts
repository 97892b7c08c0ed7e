/**
 * Events (events.k8s.io/v1) on the objects that people look at. Repeated ones become a series of one object; how many
 * are written is bounded for each object they are about, and what the bound forbids is counted.
 */

import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '#base/log.ts';
import type { KubeClient } from './client.ts';
import { isNotFound } from './kube-error.ts';
import { microTime } from './micro-time.ts';
import { EVENTS } from './resource.ts';

export interface ObjectReference {
  readonly apiVersion: string;
  readonly kind: string;
  /** Absent for a cluster-wide object. */
  readonly namespace?: string;
  readonly name: string;
  readonly uid?: string;
}

export interface EventInput {
  readonly regarding: ObjectReference;
  readonly related?: ObjectReference;
  readonly type: 'Normal' | 'Warning';
  /** CamelCase, for programs. */
  readonly reason: string;
  /** What finwait did: `Probe`, `Diagnose`. */
  readonly action: string;
  /** For people. */
  readonly note: string;
}

export interface EventRecorderOptions {
  readonly client: Pick<KubeClient, 'create' | 'patch'>;
  /** Name of this run of the operator, such as its pod's. */
  readonly instance: string;
  readonly log: Logger;
  readonly nowMs?: () => number;
}

export interface EventRecorder {
  /** Hands an Event over to be written; never fails and never waits. */
  record(event: EventInput): void;
  readonly counters: Readonly<{ created: number; repeated: number; dropped: number; failed: number }>;
  /** Settles when what is being written is written; what still waits after a short time is dropped. */
  stop(): Promise<void>;
}

const CONTROLLER = 'finwait.io/operator';
/** In bytes: the API server counts these, and refuses a longer note. */
const NOTE_BYTES = 1024;
/** An event that comes again within this time continues its series. */
const SERIES_MS = 6 * 60_000;
/** For each object: so many at once, and one more for each five minutes, as client-go's spam filter has it. */
const BURST = 25;
const REFILL_MS = 300_000;
const KEYS_KEPT = 4096;
const WAITING = 1000;
/** How long a stop waits for what was recorded. */
const STOP_MS = 1000;

interface Series {
  readonly namespace: string;
  readonly name: string;
  count: number;
  lastMs: number;
}

export function createEventRecorder(options: EventRecorderOptions): EventRecorder {
  const { client, instance, log, nowMs = Date.now } = options;
  const counters = { created: 0, repeated: 0, dropped: 0, failed: 0 };
  /** By what makes two events the same, the one that came last at the end. */
  const series = new Map<string, Series>();
  /** What each object may still get, the one that got one last at the end. */
  const allowances = new Map<string, { left: number; atMs: number }>();
  let waiting = 0;
  let writing = Promise.resolve();
  let stopped = false;

  function allowed({ kind, namespace, name }: ObjectReference): boolean {
    const key = `${kind} ${namespace ?? ''} ${name}`;
    const now = nowMs();
    const { left, atMs } = allowances.get(key) ?? { left: BURST, atMs: now };
    const refilled = Math.min(BURST, left + (now - atMs) / REFILL_MS);
    remember(allowances, key, { left: refilled < 1 ? refilled : refilled - 1, atMs: now });
    return refilled >= 1;
  }

  async function write(event: EventInput, atMs: number): Promise<void> {
    const key = keyOf(event);
    const known = series.get(key);
    if (known !== undefined && atMs - known.lastMs < SERIES_MS) {
      known.count++;
      known.lastMs = atMs;
      remember(series, key, known);
      try {
        // All but the series of an Event is immutable: its note stays that of the first.
        const value = { count: known.count, lastObservedTime: microTime(atMs) };
        await client.patch(EVENTS, known.namespace, known.name, { series: value });
        counters.repeated++;
        return;
      } catch (error) {
        // The API server forgets events after an hour.
        if (!isNotFound(error)) throw error;
      }
    }
    // Events about cluster-wide objects are in the namespace `default`, as the API server demands.
    const namespace = event.regarding.namespace ?? 'default';
    const name = `${prefixOf(event.regarding.name)}.${hash(`${key} ${atMs} ${instance}`)}`;
    const { type, reason, action, regarding, related } = event;
    await client.create(EVENTS, {
      metadata: { namespace, name },
      eventTime: microTime(atMs),
      reportingController: CONTROLLER,
      reportingInstance: instance.slice(0, 128),
      type,
      reason: reason.slice(0, 128),
      action: action.slice(0, 128),
      note: noteOf(event),
      regarding,
      ...(related === undefined ? {} : { related }),
    });
    counters.created++;
    remember(series, key, { namespace, name, count: 1, lastMs: atMs });
  }

  return {
    record(event) {
      if (waiting >= WAITING || !allowed(event.regarding)) {
        counters.dropped++;
        return;
      }
      waiting++;
      const atMs = nowMs();
      writing = writing
        .then(async () => {
          if (stopped) counters.dropped++;
          else await write(event, atMs);
        })
        .catch((error: unknown) => {
          counters.failed++;
          log.log('warn', 'an Event could not be written', { reason: event.reason, error: String(error) });
        })
        .finally(() => {
          waiting--;
        });
    },
    counters,
    async stop() {
      const enough = new AbortController();
      const patience = sleep(STOP_MS, undefined, { signal: enough.signal }).catch(() => undefined);
      await Promise.race([writing, patience]);
      enough.abort();
      stopped = waiting > 0;
    },
  };
}

function keyOf({ regarding, type, reason, action }: EventInput): string {
  const { kind, namespace = '', name, uid = '' } = regarding;
  return [kind, namespace, name, uid, type, reason, action].join(' ');
}

function noteOf({ note }: EventInput): string {
  if (Buffer.byteLength(note) <= NOTE_BYTES) return note;
  const end = '…';
  const room = new Uint8Array(NOTE_BYTES - Buffer.byteLength(end));
  const { read } = new TextEncoder().encodeInto(note, room);
  return note.slice(0, read) + end;
}

/** Each part of a name between dots ends with a letter or digit, also where it is cut. */
function prefixOf(name: string): string {
  return name.slice(0, 200).replace(/[^a-z0-9]+$/, '');
}

function hash(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 16);
}

function remember<V>(map: Map<string, V>, key: string, value: V): void {
  map.delete(key);
  map.set(key, value);
  const [oldest] = map.keys();
  if (map.size > KEYS_KEPT && oldest !== undefined) map.delete(oldest);
}
