/** JSON that no terminal is fooled by. */

/**
 * The value as JSON in ASCII escapes where a string holds control or formatting characters (a process may name
 * itself with bidirectional overrides): what is parsed again is the same.
 * @param indent spaces a level; 0 writes one line
 */
export function jsonText(value: unknown, indent = 0): string {
  // Lone surrogates and U+0000 to U+001F are escaped by JSON.stringify; the line ends of an indent are to stay.
  return JSON.stringify(value, null, indent).replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) =>
    character === '\n' ? character : escaped(character),
  );
}

/** `\u202e`; beyond the basic plane a pair of surrogates. */
function escaped(character: string): string {
  return character
    .split('')
    .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
    .join('');
}
