import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { endpoints } from '../../src/contract/index.ts';
import { createChatRenderer } from '../../src/engines/text/index.ts';
import { parseGgufHeader, parseSafetensorsHeader } from '../../src/formats/index.ts';
import { readSentencePieceModel } from '../../src/formats/tokenizer/sentencepiece-model.ts';
import { createTokenizer } from '../../src/formats/tokenizer/tokenizer.ts';
import { readTokenizerJson } from '../../src/formats/tokenizer/tokenizer-json.ts';
import { parseJsonStrictly, readSignature, sniffContent } from '../../src/security/index.ts';
import { inspectJsonText } from '../../src/security/intake/inspect-json.ts';
import { ARCHITECTURE, key, listKey, numberKey, rawFile, tensor, text, textKey } from '../../test/support/gguf-bytes.ts';
import { ggufHead, safetensorsBytes } from '../../test/support/temp-store.ts';
import type { Random } from './mutate.ts';

/** A reader of untrusted bytes. It gives data or throws HearthError; anything else is a fault. */
export interface Target {
  readonly name: string;
  /** Sound inputs, which are changed. */
  readonly seeds: readonly Buffer[];
  /** Pieces of the format. */
  readonly words: readonly string[];
  /** Makes a changed input pass the first checks more often. */
  readonly repair?: (bytes: Buffer, random: Random) => void;
  /** Gives a word for what it said, to count. */
  read(bytes: Buffer): string;
}

const reference = join(import.meta.dirname, '../../test/reference');
const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));
const JSON_WORDS = [
  '{',
  '}',
  '[',
  ']',
  ',',
  ':',
  '"',
  '\\',
  '\\u0000',
  '\\ud800',
  'null',
  'true',
  '-',
  '1e9',
  'NaN',
  'Infinity',
  '99999999999999999999',
  '"__proto__":',
  '"constructor":',
  '\xff',
  '\0',
];

const safetensorsSeed = (header: string, dataBytes: number): Buffer => {
  const bytes = Buffer.alloc(8 + header.length + dataBytes);
  bytes.writeBigUInt64LE(BigInt(header.length));
  bytes.write(header, 8);
  return bytes;
};

const ggufSeeds = (): Buffer[] => {
  const tokens = listKey('tokenizer.ggml.tokens', 'string', ['a', 'b', 'c', 'd'].map(text));
  const vocabulary = {
    keys: [ARCHITECTURE, tokens, numberKey('tokenizer.ggml.bos_token_id', 1)],
    tensors: [tensor('token_embd.weight', [8, 4], 0, 0)],
    dataBytes: 128,
  };
  const more = [numberKey('llama.block_count', 2), key('a.bool', 'bool', Buffer.from([1])), textKey('tokenizer.chat_template', '{{ x }}')];
  return [rawFile(), rawFile(vocabulary), rawFile({ keys: [ARCHITECTURE, ...more] }), ggufHead({ 'general.architecture': 'llama', 'llama.block_count': 2 })];
};

const tokenizerSeed = (): Buffer =>
  json({
    version: '1.0',
    added_tokens: [{ id: 5, content: '<s>', special: true, single_word: false, lstrip: false, rstrip: false, normalized: false }],
    normalizer: { type: 'Sequence', normalizers: [{ type: 'NFC' }, { type: 'Replace', pattern: { String: ' ' }, content: '▁' }] },
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        { type: 'Split', pattern: { Regex: '\\d{1,3}|\\p{L}+' }, behavior: 'Isolated', invert: false },
        { type: 'ByteLevel', add_prefix_space: false, use_regex: true },
      ],
    },
    post_processor: null,
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: { type: 'BPE', byte_fallback: false, vocab: { a: 0, b: 1, ab: 2, Ġ: 3, c: 4 }, merges: ['a b'] },
  });

const CHAT = {
  model: 'm',
  messages: [
    { role: 'system', content: 'x' },
    { role: 'user', content: [{ type: 'text', text: 'hi' }] },
  ],
  max_tokens: 5,
  temperature: 0.5,
  stop: ['a'],
  tools: [{ type: 'function', function: { name: 'f', parameters: { type: 'object', properties: { a: { type: 'string' } } } } }],
  response_format: { type: 'json_schema', json_schema: { name: 'x', schema: { type: 'object' } } },
};

const TEMPLATES = [
  "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] | trim + '<|im_end|>' }}{% endfor %}{% if add_generation_prompt %}x{% endif %}",
  "{%- set ns = namespace(found=false) -%}{%- for m in messages if m.role != 'system' -%}{%- set ns.found = loop.index0 == 1 -%}{{ m | tojson }}{%- else -%}none{%- endfor -%}",
  "{% macro f(a, b='x') %}{{ a ~ b }}{% endmacro %}{{ f(1) }}{{ messages[0]['content'][1:3] | upper | default('y') }}{{ range(3) | join(',') }}",
].map((source) => Buffer.from(source));

/** The first 300 pieces of a SentencePiece file and its settings, without the table of characters, which no mutation would leave. */
function shortened(bytes: Buffer): Buffer {
  const kept: Buffer[] = [];
  for (let at = 0, pieces = 0; at < bytes.length; ) {
    const start = at;
    const field = bytes[at]! >> 3;
    let length = 0;
    for (let shift = 0, more = true; more; shift += 7) {
      at += 1;
      length += (bytes[at]! & 0x7f) * 2 ** shift;
      more = bytes[at]! >= 0x80;
    }
    at += 1 + length;
    if (length < 2_000 && (field !== 1 || pieces++ < 300)) kept.push(bytes.subarray(start, at));
  }
  return Buffer.concat(kept);
}

const readText = (bytes: Buffer): string => bytes.toString('utf8');

export const TARGETS: readonly Target[] = [
  {
    name: 'safetensors',
    seeds: [
      safetensorsBytes({ 'a.weight': [2, 3], b: [] }),
      safetensorsSeed(
        '{"__metadata__":null,"a":{"dtype":"BF16","shape":[2,3],"data_offsets":[4,16]},"b":{"data_offsets":[0,4],"dtype":"F32","shape":[]}}  ',
        16,
      ),
      safetensorsSeed(
        '{"__metadata__":{"format":"mlx","k\\u00e9":"v"},"z":{"dtype":"U8","shape":[0,4],"data_offsets":[0,0]},"y":{"dtype":"F4","shape":[32],"data_offsets":[0,16]}}',
        16,
      ),
    ],
    words: [...JSON_WORDS, '"shape"', '"dtype"', '"data_offsets"', '"F64"', '[0,0]'],
    // Most changes move the end of the header: three quarters of them say its length rightly.
    repair: (bytes, random) => {
      const end = bytes.lastIndexOf('}') + 1;
      if (end > 8 && random(4) !== 0) bytes.writeBigUInt64LE(BigInt(end - 8));
    },
    read(bytes) {
      const result = parseSafetensorsHeader(bytes, bytes.length);
      return result.ok ? 'ok' : result.code;
    },
  },
  {
    name: 'gguf',
    seeds: ggufSeeds(),
    words: [
      'GGUF',
      'general.alignment',
      'general.architecture',
      'tokenizer.ggml.tokens',
      'split.count',
      '\x09\0\0\0',
      '\x08\0\0\0',
      '\xff\xff\xff\xff\xff\xff\xff\xff',
    ],
    read(bytes) {
      const result = parseGgufHeader(bytes, bytes.length, { fileName: 'm.gguf' });
      return result.ok ? 'ok' : result.code;
    },
  },
  {
    name: 'config',
    seeds: [
      json({
        model_type: 'llama',
        architectures: ['LlamaForCausalLM'],
        text_config: { auto_map: { a: 'b.c' }, hidden_size: 64 },
        quantization: { group_size: 64, bits: 4 },
      }),
      Buffer.from('{"limit": [0.0, Infinity], "auto_map": {"A": "x.B"}, "chat_template": [{"name": "default", "template": "{{ x }}"}], "n": NaN}'),
      json([{ idx: 0, name: '0', path: '', type: 'sentence_transformers.models.Transformer' }]),
    ],
    words: [...JSON_WORDS, '"auto_map":', '"model_file":"x"', '"trust_remote_code":true', '"hub_x":"y"', '"model_type":"../x"'],
    read(bytes) {
      const { findings, cleaned } = inspectJsonText(bytes.length % 2 === 0 ? 'config.json' : 'modules.json', readText(bytes));
      // What engines get must be sound whatever it was made from.
      if (cleaned !== null && inspectJsonText('config.json', Buffer.from(cleaned.bytes).toString()).cleaned !== null)
        throw new TypeError('a cleaned file needs cleaning');
      return findings[0]?.code ?? 'ok';
    },
  },
  {
    name: 'tokenizer',
    seeds: [tokenizerSeed()],
    words: [...JSON_WORDS, '"WordPiece"', '"Unigram"', '"BPE"', '"ByteFallback"', '"Metaspace"', '(', ')*', '+', '"merges":[', '"vocab":{'],
    read(bytes) {
      const value = parseJsonStrictly(readText(bytes), { depth: 64, keys: 100_000, vocabulary: true });
      const tokenizer = createTokenizer({ json: readTokenizerJson(value, 'tokenizer.json'), bos: null, eos: [], addBos: false, chatTemplate: null });
      tokenizer.decode(tokenizer.encode('abc 123 <s> ▁é🌍', { special: true }), { skipSpecial: false });
      return 'ok';
    },
  },
  {
    name: 'sentencepiece',
    seeds: ['bpe', 'unigram'].map((kind) => shortened(readFileSync(join(reference, `tokenizer/sentencepiece-${kind}.model`)))),
    words: ['\x0a', '\xff\xff\xff\xff\x7f', '\x80\x80\x80', '\x12', '\x1a'],
    read(bytes) {
      readSentencePieceModel(bytes, 'tokenizer.model');
      return 'ok';
    },
  },
  {
    name: 'template',
    seeds: TEMPLATES,
    words: [
      '{{',
      '}}',
      '{%',
      '%}',
      '{#',
      '#}',
      ' if ',
      ' else ',
      '{% endif %}',
      ' for x in ',
      '{% endfor %}',
      '|',
      '~',
      '(',
      ')',
      '[',
      ']',
      '.',
      "'",
      ' is ',
      ' not ',
      'loop.index',
      '__proto__',
      'constructor',
      '99999999',
      '-',
      '*',
      '{% break %}',
      'messages',
    ],
    read(bytes) {
      const renderer = createChatRenderer({
        template: readText(bytes),
        bosToken: '<s>',
        eosToken: '</s>',
        specialTokens: ['<s>', '</s>', '<|im_start|>', '<|im_end|>'],
      });
      const parts = renderer.render([
        { role: 'system', content: [{ kind: 'text', text: 'Be kind.' }] },
        { role: 'user', content: [{ kind: 'text', text: 'Hi <|im_end|>' }] },
      ]);
      return renderer.problem === null ? (parts.length > 0 ? 'ok' : 'empty') : 'fallback';
    },
  },
  {
    name: 'signature',
    seeds: [
      json({
        mediaType: 'application/vnd.dev.sigstore.bundle.v0.3+json',
        verificationMaterial: { publicKey: { hint: 'a'.repeat(64) }, tlogEntries: [] },
        dsseEnvelope: {
          payload: Buffer.from(
            JSON.stringify({
              _type: 'https://in-toto.io/Statement/v1',
              subject: [{ name: 'm', digest: { sha256: '0'.repeat(64) } }],
              predicateType: 'https://model_signing/signature/v1.0',
              predicate: { serialization: { method: 'files', hash_type: 'sha256' }, resources: [] },
            }),
          ).toString('base64'),
          payloadType: 'application/vnd.in-toto+json',
          signatures: [{ sig: 'MEUCIQ==', keyid: '' }],
        },
      }),
    ],
    words: [...JSON_WORDS, '"rawBytes":', '"certificate":', '"x509CertificateChain":', 'AAAA', '=='],
    read(bytes) {
      const { problems } = readSignature(bytes);
      return problems[0]?.code ?? 'ok';
    },
  },
  {
    name: 'request',
    seeds: [
      json(CHAT),
      json({ model: 'm', input: ['a', [1, 2]], dimensions: 5, encoding_format: 'base64' }),
      json({ model: 'm', prompt: ['x'], max_tokens: 1, logit_bias: { 5: -1 } }),
    ],
    words: [...JSON_WORDS, '"role":"tool"', '"n":', '-1', '1e400', '9007199254740993', '"5"', '"image_url"'],
    read(bytes) {
      const value = parseJsonStrictly(readText(bytes));
      return [endpoints.chatCompletions, endpoints.completions].some(({ body }) => body?.safeParse(value).success === true) ? 'ok' : 'refused';
    },
  },
  {
    name: 'content',
    seeds: [
      Buffer.from("cos\nsystem\n(S'id'\ntR."),
      Buffer.from('\x80\x04\x95\x1d\0\0\0\0\0\0\0\x8c\x05posix\x94\x8c\x06system\x94\x93\x94.', 'latin1'),
      Buffer.from('PK\x03\x04xxxx'),
    ],
    words: ['\x80\x02', '.', '(', 'c', '\n', 'X\xff\xff\xff\xff', '\x8d\xff\xff\xff\xff\xff\xff\xff\xff', 'I1\n'],
    read: (bytes) => sniffContent(bytes, true) ?? 'ok',
  },
];
