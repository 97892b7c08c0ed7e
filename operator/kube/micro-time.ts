/** A time as metav1.MicroTime has it: RFC 3339 with exactly six digits, or the API server refuses the object. */
export function microTime(ms: number): string {
  return new Date(ms).toISOString().replace(/\.(\d{3})Z$/, '.$1000Z');
}
