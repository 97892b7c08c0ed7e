/**
 * Shapes: small parsers that turn untrusted JSON into typed values. They never throw, copy what they know,
 * ignore fields they do not know (so that a newer sender is understood), and name the path of every fault.
 */

import type { Decoded } from './result.ts';
import { decoded, undecodable } from './result.ts';

/** Answers the value, or notes a fault on the trail and answers undefined. */
export type Shape<T> = (value: unknown, trail: Trail) => T | undefined;

/** A field that may be absent. */
export interface Optional<T> {
  readonly optional: Shape<T>;
}

/** One shape for every field of `T`: leaving one out, or calling a required one optional, does not compile. */
export type Fields<T> = {
  readonly [Key in keyof T]-?: Record<string, never> extends Pick<T, Key>
    ? Optional<NonNullable<T[Key]>>
    : Shape<T[Key]>;
};

const FAULTS_NAMED = 5;

/** Where in the value we are, and what was found wrong so far. */
class Trail {
  readonly #keys: (string | number)[] = [];
  readonly #faults: string[] = [];
  #count = 0;

  within<T>(key: string | number, shape: Shape<T>, value: unknown): T | undefined {
    this.#keys.push(key);
    const parsed = shape(value, this);
    this.#keys.pop();
    return parsed;
  }

  fault(reason: string): undefined {
    this.#count++;
    if (this.#faults.length < FAULTS_NAMED) this.#faults.push(`${this.#path()} ${reason}`);
  }

  /** The first faults, and how many more there are; undefined when there is none. */
  reason(): string | undefined {
    const more = this.#count - this.#faults.length;
    if (this.#count === 0) return undefined;
    return this.#faults.join('; ') + (more > 0 ? `; and ${more} more` : '');
  }

  #path(): string {
    if (this.#keys.length === 0) return 'the value';
    return this.#keys
      .map((key, index) => (typeof key === 'number' ? `[${key}]` : index === 0 ? key : `.${key}`))
      .join('');
  }
}

/** Runs a shape over a whole value. */
export function parseShape<T>(shape: Shape<T>, value: unknown): Decoded<T> {
  const trail = new Trail();
  const parsed = shape(value, trail);
  const reason = trail.reason();
  return reason === undefined ? decoded(parsed as T) : undecodable(reason);
}

export function optional<T>(shape: Shape<T>): Optional<T> {
  return { optional: shape };
}

export function object<T extends object>(fields: Fields<T>): Shape<T> {
  const entries = Object.entries<Shape<unknown> | Optional<unknown>>(fields);
  return (value, trail) => {
    if (!isObject(value)) return trail.fault(`is ${kindOf(value)}, not an object`);
    const out: Record<string, unknown> = {};
    for (const [key, field] of entries) {
      const present = Object.hasOwn(value, key);
      if (typeof field !== 'function') {
        if (present) out[key] = trail.within(key, field.optional, value[key]);
      } else if (present) {
        out[key] = trail.within(key, field, value[key]);
      } else {
        trail.within(key, missing, undefined);
      }
    }
    return out as T;
  };
}

export function list<T>(item: Shape<T>, max: number): Shape<readonly T[]> {
  return (value, trail) => {
    if (!Array.isArray(value)) return trail.fault(`is ${kindOf(value)}, not a list`);
    if (value.length > max) return trail.fault(`has ${value.length} items, at most ${max} are allowed`);
    return value.map((each, index) => trail.within(index, item, each)) as T[];
  };
}

/** An object whose names are data. */
export function map<T>(
  item: Shape<T>,
  maxEntries: number,
  maxName: number,
): Shape<Readonly<Record<string, T>>> {
  return (value, trail) => {
    if (!isObject(value)) return trail.fault(`is ${kindOf(value)}, not an object`);
    const entries = Object.entries(value);
    if (entries.length > maxEntries) {
      return trail.fault(`has ${entries.length} entries, at most ${maxEntries} are allowed`);
    }
    if (entries.some(([name]) => name.length > maxName || name === '__proto__')) {
      return trail.fault(`has a name that is not allowed or longer than ${maxName} characters`);
    }
    // fromEntries defines own properties and so never reaches a prototype.
    return Object.fromEntries(
      entries.map(([name, each]) => [name, trail.within(name, item, each)]),
    ) as Record<string, T>;
  };
}

export function text(maxLength: number, pattern?: RegExp, says = 'has the wrong form'): Shape<string> {
  return (value, trail) => {
    if (typeof value !== 'string') return trail.fault(`is ${kindOf(value)}, not text`);
    if (value.length > maxLength) return trail.fault(`is longer than ${maxLength} characters`);
    return pattern === undefined || pattern.test(value) ? value : trail.fault(says);
  };
}

export function numberIn(min: number, max: number): Shape<number> {
  return (value, trail) =>
    typeof value === 'number' && value >= min && value <= max
      ? value
      : trail.fault(`is not a number from ${min} to ${max}`);
}

export function integerIn(min: number, max: number): Shape<number> {
  return (value, trail) =>
    Number.isSafeInteger(value) && (value as number) >= min && (value as number) <= max
      ? (value as number)
      : trail.fault(`is not a whole number from ${min} to ${max}`);
}

export function boolean(value: unknown, trail: Trail): boolean | undefined {
  return typeof value === 'boolean' ? value : trail.fault(`is ${kindOf(value)}, not true or false`);
}

export function among<const T extends string | number>(...allowed: readonly T[]): Shape<T> {
  const set = new Set<unknown>(allowed);
  return (value, trail) =>
    set.has(value) ? (value as T) : trail.fault(`is not one of ${allowed.join(', ')}`);
}

export function nullable<T>(shape: Shape<T>): Shape<T | null> {
  return (value, trail) => (value === null ? null : shape(value, trail));
}

function missing(_value: unknown, trail: Trail): undefined {
  trail.fault('is missing');
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function kindOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'a list';
  return typeof value === 'object' ? 'an object' : typeof value === 'string' ? 'text' : `a ${typeof value}`;
}
