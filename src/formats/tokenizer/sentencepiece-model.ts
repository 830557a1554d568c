import { mergesByScore } from './gguf-vocabulary.ts';
import { TOKEN_TYPE } from './token-type.ts';
import { type AddedTokenEntry, invalid, type TokenizerJson, type TokenizerPart } from './tokenizer-json.ts';

/** The parts of a SentencePiece `ModelProto` that say how text becomes pieces. */
interface SentencePieceModel {
  readonly tokens: string[];
  readonly scores: number[];
  /** As in GGUF: 1 normal, 2 unknown, 3 control, 4 user defined, 5 unused, 6 byte. */
  readonly types: number[];
  kind: number;
  bos: number;
  eos: number;
  byteFallback: boolean;
  charactersMap: string | null;
  addPrefix: boolean;
  removeExtraSpaces: boolean;
}

export interface SentencePieceTokenizer {
  readonly json: TokenizerJson;
  /** Ids of the marks of begin and end. */
  readonly bos: number | null;
  readonly eos: number | null;
}

const UNIGRAM = 1;
const BPE = 2;
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Reads `tokenizer.model` as if it were a tokenizer.json with the same pieces (docs/spec/formats.md §4). BPE and Unigram models.
 * Throws `tokenizer_invalid`, naming the file.
 */
export function readSentencePieceModel(bytes: Uint8Array, where: string): SentencePieceTokenizer {
  let model: SentencePieceModel;
  try {
    model = parseModel(bytes);
  } catch (error) {
    throw invalid(`${where} is not a SentencePiece model: ${(error as Error).message}`);
  }
  if (model.tokens.length === 0) throw invalid(`${where} holds no pieces.`);
  if (model.kind !== UNIGRAM && model.kind !== BPE) throw invalid(`${where} is a SentencePiece model of kind ${model.kind}; BPE and Unigram are read.`);
  // −1 is none; a text that no piece stands for is none either.
  const mark = (id: number): number | null => (model.types[id] === TOKEN_TYPE.control ? id : null);
  return { json: toJson(model), bos: mark(model.bos), eos: mark(model.eos) };
}

function toJson(model: SentencePieceModel): TokenizerJson {
  const spaces: TokenizerPart = { type: 'Replace', pattern: { String: ' ' }, content: '▁' };
  const normalizers: TokenizerPart[] = [
    ...(model.charactersMap === null ? [] : [{ type: 'Precompiled', precompiled_charsmap: model.charactersMap }]),
    ...(model.removeExtraSpaces
      ? [
          { type: 'Strip', strip_left: true, strip_right: true },
          { type: 'Replace', pattern: { Regex: ' {2,}' }, content: ' ' },
        ]
      : []),
    ...(model.addPrefix ? [{ type: 'Prepend', prepend: '▁' }] : []),
    spaces,
  ];
  const decoders: TokenizerPart[] = [{ type: 'Replace', pattern: { String: '▁' }, content: ' ' }, { type: 'ByteFallback' }, { type: 'Fuse' }];
  const unknown = model.types.indexOf(TOKEN_TYPE.unknown);
  return {
    added_tokens: addedTokens(model),
    normalizer: { type: 'Sequence', normalizers },
    pre_tokenizer: null,
    post_processor: null,
    decoder: { type: 'Sequence', decoders: model.addPrefix ? [...decoders, { type: 'Strip', content: ' ', start: 1, stop: 0 }] : decoders },
    model:
      model.kind === BPE
        ? {
            type: 'BPE',
            vocab: Object.fromEntries(model.tokens.map((token, id) => [token, id])),
            merges: mergesByScore(model, model.scores),
            unk_token: model.tokens[unknown] ?? null,
            fuse_unk: true,
            byte_fallback: model.byteFallback,
          }
        : {
            type: 'Unigram',
            vocab: model.tokens.map((token, id) => [token, model.scores[id]!]),
            unk_id: unknown < 0 ? null : unknown,
            byte_fallback: model.byteFallback,
          },
  };
}

function addedTokens({ tokens, types }: SentencePieceModel): AddedTokenEntry[] {
  const kinds: readonly number[] = [TOKEN_TYPE.unknown, TOKEN_TYPE.control, TOKEN_TYPE.userDefined];
  return tokens.flatMap((content, id) =>
    kinds.includes(types[id]!)
      ? [{ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: types[id] !== TOKEN_TYPE.userDefined }]
      : [],
  );
}

function parseModel(bytes: Uint8Array): SentencePieceModel {
  const model: SentencePieceModel = {
    tokens: [],
    scores: [],
    types: [],
    kind: UNIGRAM,
    bos: 1,
    eos: 2,
    byteFallback: false,
    charactersMap: null,
    addPrefix: true,
    removeExtraSpaces: true,
  };
  for (const { field, value } of fields(bytes)) {
    if (!(value instanceof Uint8Array)) continue;
    if (field === 1) addPiece(model, value);
    if (field === 2) {
      for (const setting of fields(value)) {
        if (setting.field === 3) model.kind = Number(setting.value);
        if (setting.field === 41) model.bos = Number(setting.value);
        if (setting.field === 42) model.eos = Number(setting.value);
        if (setting.field === 35) model.byteFallback = setting.value === 1;
      }
    }
    if (field === 3) {
      for (const setting of fields(value)) {
        if (setting.field === 2 && setting.value instanceof Uint8Array && setting.value.length > 0)
          model.charactersMap = Buffer.from(setting.value).toString('base64');
        if (setting.field === 3) model.addPrefix = setting.value === 1;
        if (setting.field === 4) model.removeExtraSpaces = setting.value === 1;
      }
    }
  }
  return model;
}

function addPiece(model: SentencePieceModel, bytes: Uint8Array): void {
  let token = '';
  let score = 0;
  let type: number = TOKEN_TYPE.normal;
  for (const { field, value } of fields(bytes)) {
    if (field === 1 && value instanceof Uint8Array) token = utf8.decode(value);
    if (field === 2 && value instanceof Uint8Array) score = new DataView(value.buffer, value.byteOffset, 4).getFloat32(0, true);
    if (field === 3) type = Number(value);
  }
  model.tokens.push(token);
  model.scores.push(score);
  model.types.push(type);
}

/** Fields of a protobuf message: numbers for varints, bytes for everything else. Every read is checked against the bytes left. */
function* fields(bytes: Uint8Array): Generator<{ readonly field: number; readonly value: number | Uint8Array }> {
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = bytes[at];
      if (byte === undefined) throw new Error('a number is cut short');
      at += 1;
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) return value;
    }
    throw new Error('a number is too long');
  };
  const take = (length: number): Uint8Array => {
    if (!(at + length <= bytes.length)) throw new Error('a field is cut short');
    at += length;
    return bytes.subarray(at - length, at);
  };
  while (at < bytes.length) {
    const tag = varint();
    const field = Math.floor(tag / 8);
    const wire = tag % 8;
    if (wire === 0) yield { field, value: varint() };
    else if (wire === 1) yield { field, value: take(8) };
    else if (wire === 2) yield { field, value: take(varint()) };
    else if (wire === 5) yield { field, value: take(4) };
    else throw new Error(`wire type ${wire} is not known`);
  }
}
