import { HearthError } from '../../core/index.ts';
import type { GgufHeader } from '../gguf/index.ts';
import { vocabularyFromGguf } from './gguf-vocabulary.ts';
import { createTokenizer, loadTokenizer, type Tokenizer } from './tokenizer.ts';
import { readTokenizerJson } from './tokenizer-json.ts';

/** Texts that tokenizers cut in different ways: scripts, digits, spaces, marks, emoji, code, and what looks like a control token. */
const PROBES: readonly string[] = [
  '',
  ' ',
  '  two  spaces and a tab\tand a line\nand\r\n\r\nmore   ',
  'The quick brown fox jumps over the lazy dog.',
  "It's, they've, I'm, we'll, YOU'D, isn't",
  'CamelCase snake_case kebab-case SHOUTING',
  '0 12 345 6789 1234567890 3.14159 1,000,000',
  '٠١٢٣ ४५६ Ⅷ ½ ² ①',
  '2024-11-21T15:04:05Z',
  'def f(x):\n    return x ** 2  # square\n',
  'for (let i = 0; i < n; i++) { a[i] += b?.c ?? 1; }',
  'SELECT * FROM t WHERE a >= 3 AND b != "x";',
  '<html><body class="a">&amp;</body></html>',
  'https://example.org/path?query=1&other=2#fragment',
  '{"key": [1, 2.5, null, true], "text": "a\\"b"}',
  'naïve café déjà-vu Größe Ærøskøbing',
  'cafe\u0301 (with a combining mark)',
  'Привет, мир! Как дела?',
  'Γειά σου Κόσμε',
  'مرحبا بالعالم',
  'שלום עולם',
  'नमस्ते दुनिया',
  'สวัสดีชาวโลก',
  '你好，世界。今天天气很好！',
  'こんにちは世界、カタカナとひらがな',
  '안녕하세요 세계',
  '👋🌍 👩‍👩‍👧‍👦 🇩🇪 ☺️',
  '𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𓀀 ﬁ ﷺ',
  '\u00a0\u2003\u3000 odd spaces \u200b\ufeff',
  '!!! ??? ... --- *** ### $$$ @@@ ~~~',
  '«quotes» “curly” ‘single’ „low“',
  'a'.repeat(40),
  'ab '.repeat(20),
  '\n\n\n\n\n',
  '        deep indent',
  '<|im_start|>user\nHi<|im_end|>',
  '<s>[INST] Hi [/INST]</s>',
  '<|begin_of_text|><|eot_id|><bos><end_of_turn><|endoftext|>',
  '▁lower ▁one eighth <0x41> ##ing Ġword',
  'mixed русский and English 和中文 123 🙂',
];

/**
 * Holds the vocabulary of a GGUF header to the tokenizer of the checkpoint that it was made from: the same ids for 40 texts, with control tokens
 * recognised and as plain text. Throws `tokenizer_mismatch` with the first text that differs.
 */
export async function checkVocabulary(header: GgufHeader, directory: string): Promise<void> {
  // One after the other: each takes tens of megabytes.
  const before = probe(await loadTokenizer(directory));
  const after = probe(tokenizerOf(header));
  for (const [at, text] of PROBES.entries())
    for (const kind of [0, 1] as const) {
      const [wanted, found] = [before[at]![kind], after[at]![kind]];
      if (wanted.length === found.length && wanted.every((id, i) => id === found[i])) continue;
      throw new HearthError(
        'tokenizer_mismatch',
        `The vocabulary written to GGUF cuts ${JSON.stringify(text)} otherwise than ${directory} does; other engines would read other tokens. Nothing was kept.`,
        { details: { text, wanted, found } },
      );
    }
}

/** The ids of each text, with control tokens recognised and as plain text. */
const probe = (tokenizer: Tokenizer): (readonly [number[], number[]])[] =>
  PROBES.map((text) => [tokenizer.encode(text, { special: true }), tokenizer.encode(text, { special: false })]);

function tokenizerOf(header: GgufHeader): Tokenizer {
  const json = readTokenizerJson(vocabularyFromGguf(header).tokenizer, 'the GGUF vocabulary');
  return createTokenizer({ json, bos: null, eos: [], addBos: false, chatTemplate: null });
}
