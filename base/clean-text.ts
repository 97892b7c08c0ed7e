/**
 * Text of strangers (names of processes, answers of peers) without control and formatting characters, which could
 * write to the terminal of who reads it: move the cursor, end a line, reverse it.
 */
export function cleanText(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, '?');
}
