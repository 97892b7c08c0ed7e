/** The first few of many in an order, sorted, without sorting all of them. */
export function firstBy<T>(items: Iterable<T>, count: number, compare: (a: T, b: T) => number): T[] {
  let kept: T[] = [];
  let last: T | undefined;
  for (const item of items) {
    if (last !== undefined && compare(item, last) >= 0) continue;
    kept.push(item);
    if (kept.length < 2 * count) continue;
    kept = kept.sort(compare).slice(0, count);
    last = kept.at(-1);
  }
  return kept.sort(compare).slice(0, count);
}
