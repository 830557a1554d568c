import { invalid } from './tokenizer-json.ts';

/**
 * The character map of a SentencePiece model (`precompiled_charsmap`): u32 length, a double-array trie of that many bytes
 * over UTF-8, then the replacement strings, each ended by a zero byte. Format: Darts double array, as SentencePiece writes it.
 */
export function createCharacterMap(base64: string): (text: string) => string {
  const blob = Buffer.from(base64, 'base64');
  if (blob.length < 4 || blob.readUInt32LE(0) % 4 !== 0 || 4 + blob.readUInt32LE(0) > blob.length) throw invalid('The precompiled character map is cut short.');
  const trieBytes = blob.readUInt32LE(0);
  const trie = new Uint32Array(blob.buffer.slice(blob.byteOffset + 4, blob.byteOffset + 4 + trieBytes));
  const texts = blob.subarray(4 + trieBytes);

  const replacement = (text: string): string | undefined => {
    const at = shortestMatch(trie, Buffer.from(text));
    if (at === undefined || at >= texts.length) return undefined;
    const end = texts.indexOf(0, at);
    return texts.toString('utf8', at, end < 0 ? texts.length : end);
  };
  const graphemes = new Intl.Segmenter('en', { granularity: 'grapheme' });
  return (text) => {
    let out = '';
    for (const { segment } of graphemes.segment(text)) {
      // A short cluster is looked up as a whole first; long ones (family emoji) only character by character.
      const whole = Buffer.byteLength(segment) < 6 ? replacement(segment) : undefined;
      if (whole !== undefined) out += whole;
      else for (const character of segment) out += replacement(character) ?? character;
    }
    return out;
  };
}

/** Value of the shortest key that begins `key`, or undefined. */
function shortestMatch(trie: Uint32Array, key: Uint8Array): number | undefined {
  const offset = (unit: number) => (unit >>> 10) << ((unit & 0x200) >>> 6);
  let node = offset(trie[0] ?? 0);
  for (const byte of key) {
    if (byte === 0) return undefined;
    node ^= byte;
    const unit = trie[node];
    if (unit === undefined || (unit & 0x8000_00ff) >>> 0 !== byte) return undefined;
    node ^= offset(unit);
    if (((unit >>> 8) & 1) === 1) return (trie[node] ?? 0) & 0x7fff_ffff;
  }
  return undefined;
}
