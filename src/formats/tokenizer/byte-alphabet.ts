/**
 * The character that stands for each byte in a byte-level vocabulary: printable ones of Latin-1 for themselves, the
 * other 68 bytes, in order, are U+0100 and after. From GPT-2's encoder.
 */

function createAlphabet(): readonly string[] {
  const isPrintable = (byte: number) =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff);
  let others = 0;
  return Array.from({ length: 256 }, (_, byte) =>
    String.fromCharCode(isPrintable(byte) ? byte : 0x100 + others++),
  );
}

/** By byte. */
export const BYTE_ALPHABET = createAlphabet();

/** @param binary one character for each byte, as `atob` returns it */
export function spellBytes(binary: string): string {
  let spelled = '';
  for (let i = 0; i < binary.length; i++) spelled += BYTE_ALPHABET[binary.charCodeAt(i)]!;
  return spelled;
}
