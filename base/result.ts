/** What every decoder answers: a value, or the reason there is none. Decoders never throw. */
export type Decoded<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly reason: string };

export function decoded<T>(value: T): Decoded<T> {
  return { ok: true, value };
}

export function undecodable(reason: string): { readonly ok: false; readonly reason: string } {
  return { ok: false, reason };
}
