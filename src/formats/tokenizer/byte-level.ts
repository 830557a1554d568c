/**
 * The alphabet of byte-level BPE: each byte has one printable character, so that a vocabulary can be kept as text.
 * Printable Latin-1 bytes stand for themselves, the others for U+0100 onwards (the rule of GPT-2's encoder).
 */
const isPrintable = (byte: number): boolean => (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;

export const CHARACTER_OF_BYTE: readonly string[] = (() => {
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => {
    if (isPrintable(byte)) return String.fromCharCode(byte);
    next += 1;
    return String.fromCharCode(next - 1);
  });
})();

const BYTE_OF_CHARACTER: ReadonlyMap<string, number> = new Map(CHARACTER_OF_BYTE.map((character, byte) => [character, byte]));

const encoder = new TextEncoder();

/** UTF-8 bytes of the text, each as its character. */
export function toByteCharacters(text: string): string {
  let out = '';
  for (const byte of encoder.encode(text)) out += CHARACTER_OF_BYTE[byte]!;
  return out;
}

/** The bytes of a token, or undefined where a character stands for no byte. */
export function fromByteCharacters(token: string): Uint8Array | undefined {
  const out = new Uint8Array(token.length);
  for (let index = 0; index < token.length; index += 1) {
    const byte = BYTE_OF_CHARACTER.get(token[index]!);
    if (byte === undefined) return undefined;
    out[index] = byte;
  }
  return out;
}
