import { stripSpace } from './added-tokens.ts';
import { toByteCharacters } from './byte-level.ts';
import { createCharacterMap } from './character-map.ts';
import { compilePattern } from './pattern.ts';
import { invalid, type TokenizerPart } from './tokenizer-json.ts';

export type Normalizer = (text: string) => string;

const FORMS = ['NFC', 'NFD', 'NFKC', 'NFKD'];
// Ranges of ideographs as BERT's tokeniser lists them.
const IDEOGRAPH =
  /[\u{4e00}-\u{9fff}\u{3400}-\u{4dbf}\u{20000}-\u{2a6df}\u{2a700}-\u{2b73f}\u{2b740}-\u{2b81f}\u{2b920}-\u{2ceaf}\u{f900}-\u{faff}\u{2f800}-\u{2fa1f}]/gu;

/** Builds the normalizer that tokenizer.json describes; throws `tokenizer_invalid` for a kind that is not known. */
export function createNormalizer(part: TokenizerPart | null): Normalizer {
  if (part === null) return (text) => text;
  switch (part.type) {
    case 'Sequence': {
      const steps = (Array.isArray(part['normalizers']) ? part['normalizers'] : []).map((step) => createNormalizer(step as TokenizerPart));
      return (text) => steps.reduce((current, step) => step(current), text);
    }
    case 'Prepend':
      return (text) => (text === '' ? text : String(part['prepend']) + text);
    case 'Replace': {
      const pattern = compilePattern(part['pattern']);
      const content = String(part['content']);
      return (text) => text.replace(pattern, () => content);
    }
    case 'Lowercase':
      return lowercase;
    case 'Strip':
      return (text) => stripSpace(text, part['strip_left'] === true, part['strip_right'] === true);
    case 'StripAccents':
      return (text) => text.replace(/\p{M}/gu, '');
    case 'ByteLevel':
      return toByteCharacters;
    case 'Precompiled':
      return typeof part['precompiled_charsmap'] === 'string' ? createCharacterMap(part['precompiled_charsmap']) : (text) => text;
    case 'BertNormalizer':
      return bert(part);
    default:
      if (FORMS.includes(part.type)) return (text) => text.normalize(part.type);
      throw invalid(`The normalizer ${JSON.stringify(part.type)} is not known.`);
  }
}

/** Character by character, as the reference does it: a final sigma is not special. */
const lowercase: Normalizer = (text) => text.replace(/\P{Lowercase}/gu, (character) => character.toLowerCase());

function bert(part: TokenizerPart): Normalizer {
  const lower = part['lowercase'] !== false;
  const accents = typeof part['strip_accents'] === 'boolean' ? part['strip_accents'] : lower;
  return (text) => {
    let out = text;
    if (part['clean_text'] !== false) {
      out = out.replace(/[\p{Cc}\p{Cf}\p{Co}\ufffd]/gu, (character) => ('\t\n\r'.includes(character) ? character : '')).replace(/\p{White_Space}/gu, ' ');
    }
    if (part['handle_chinese_chars'] !== false) out = out.replace(IDEOGRAPH, ' $& ');
    if (accents) out = out.normalize('NFD').replace(/\p{Mn}/gu, '');
    return lower ? lowercase(out) : out;
  };
}
