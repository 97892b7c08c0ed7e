/** Bodies of requests: JSON that is YAML 1.1 too, for so the API server reads what is applied. */

/** Characters that YAML takes for line breaks or forbids, where JSON has them as they are. */
const NOT_IN_YAML = /[\u007f-\u009f\u2028\u2029\ufeff\ufffe\uffff]/g;

/** Halves of surrogate pairs, which YAML cannot even escape, become U+FFFD. */
export function bodyText(value: unknown): string {
  const json = JSON.stringify(value, (_key, each: unknown) =>
    typeof each === 'string' ? each.toWellFormed() : each,
  );
  return json.replaceAll(
    NOT_IN_YAML,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
