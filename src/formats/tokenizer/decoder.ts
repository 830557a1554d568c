import { isJsonObject } from '../../core/index.ts';
import { fromByteCharacters } from './byte-level.ts';
import { metaspaceScheme } from './pre-tokenizer.ts';
import { invalid, type TokenizerPart } from './tokenizer-json.ts';

/** How ids become text again: the bytes of each token, and what happens at the beginning. */
export interface Decoder {
  /** Bytes that a token of the model adds where it stands after another one. */
  bytes(token: string): Uint8Array;
  /** Bytes that the first token of an output adds. */
  firstBytes(token: string): Uint8Array;
  /** Whether one space at the very beginning of an output is dropped, wherever it comes from. */
  readonly stripsFirstSpace: boolean;
}

const encoder = new TextEncoder();
const BYTE_TOKEN = /^<0x([0-9A-Fa-f]{2})>$/;

/** Builds the decoder that tokenizer.json describes; throws `tokenizer_invalid` for a kind that is not known. */
export function createDecoder(part: TokenizerPart | null): Decoder {
  const steps = flatten(part);
  if (steps.some((step) => step.type === 'WordPiece')) return wordPiece(steps);
  if (steps.some((step) => step.type === 'ByteLevel')) {
    const bytes = (token: string) => fromByteCharacters(token) ?? encoder.encode(token);
    return { bytes, firstBytes: bytes, stripsFirstSpace: false };
  }
  return characters(steps);
}

const flatten = (part: TokenizerPart | null): TokenizerPart[] => {
  if (part === null) return [];
  if (part.type !== 'Sequence') return [part];
  return (Array.isArray(part['decoders']) ? part['decoders'] : []).filter(isJsonObject).flatMap((step) => flatten(step as unknown as TokenizerPart));
};

/** Vocabularies of plain characters: a mark for the space, byte tokens, one space dropped at the front. */
function characters(steps: readonly TokenizerPart[]): Decoder {
  const replacements: [string, string][] = [];
  let suffix: string | undefined;
  let byteFallback = false;
  let stripsFirstSpace = false;
  for (const step of steps) {
    switch (step.type) {
      case 'Replace': {
        const pattern = step['pattern'];
        if (!isJsonObject(pattern) || typeof pattern['String'] !== 'string') throw invalid('A decoder that replaces an expression is not supported.');
        replacements.push([pattern['String'], String(step['content'])]);
        break;
      }
      case 'Metaspace':
        replacements.push([typeof step['replacement'] === 'string' ? step['replacement'] : '▁', ' ']);
        stripsFirstSpace ||= metaspaceScheme(step) !== 'never';
        break;
      case 'Strip':
        if (step['content'] !== ' ' || step['start'] !== 1 || (step['stop'] ?? 0) !== 0)
          throw invalid('A decoder that strips more than one space at the start is not supported.');
        stripsFirstSpace = true;
        break;
      case 'BPEDecoder':
        suffix = typeof step['suffix'] === 'string' ? step['suffix'] : '</w>';
        break;
      case 'ByteFallback':
        byteFallback = true;
        break;
      case 'Fuse':
        break;
      default:
        throw invalid(`The decoder ${JSON.stringify(step.type)} is not known.`);
    }
  }
  const bytes = (token: string): Uint8Array => {
    const byte = byteFallback ? BYTE_TOKEN.exec(token)?.[1] : undefined;
    if (byte !== undefined) return Uint8Array.of(Number.parseInt(byte, 16));
    let text = token;
    for (const [from, to] of replacements) text = text.replaceAll(from, to);
    if (suffix !== undefined) text = text.replaceAll(suffix, ' ');
    return encoder.encode(text);
  };
  return { bytes, firstBytes: bytes, stripsFirstSpace };
}

function wordPiece(steps: readonly TokenizerPart[]): Decoder {
  if (steps.length !== 1) throw invalid('A WordPiece decoder beside others is not supported.');
  const prefix = typeof steps[0]!['prefix'] === 'string' ? steps[0]!['prefix'] : '##';
  const tidy = steps[0]!['cleanup'] === false ? (text: string) => text : tidySpaces;
  return {
    bytes: (token) => encoder.encode(tidy(token.startsWith(prefix) ? token.slice(prefix.length) : ` ${token}`)),
    firstBytes: (token) => encoder.encode(tidy(token)),
    stripsFirstSpace: false,
  };
}

/** The reference's tidying of English text, token by token. */
const tidySpaces = (text: string): string =>
  text
    .replaceAll(' .', '.')
    .replaceAll(' ?', '?')
    .replaceAll(' !', '!')
    .replaceAll(' ,', ',')
    .replaceAll(" ' ", "'")
    .replaceAll(" n't", "n't")
    .replaceAll(" 'm", "'m")
    .replaceAll(' do not', " don't")
    .replaceAll(" 's", "'s")
    .replaceAll(" 've", "'ve")
    .replaceAll(" 're", "'re");
