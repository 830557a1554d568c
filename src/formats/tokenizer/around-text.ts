import { isJsonObject } from '../../core/index.ts';
import type { TokenizerPart } from './tokenizer-json.ts';

/** Control tokens that stand around a single text. */
export interface AroundText {
  readonly before: readonly number[];
  readonly after: readonly number[];
}

const NONE: AroundText = { before: [], after: [] };

/** What the post-processor of tokenizer.json puts around one text: [CLS] and [SEP], a BOS, an end of text. */
export function aroundText(part: unknown): AroundText {
  if (!isJsonObject(part)) return NONE;
  switch (part['type']) {
    case 'Sequence':
      return (Array.isArray(part['processors']) ? part['processors'] : []).map(aroundText).reduce(
        (inner, outer) => ({
          before: [...outer.before, ...inner.before],
          after: [...inner.after, ...outer.after],
        }),
        NONE,
      );
    case 'BertProcessing':
    case 'RobertaProcessing':
      return { before: pairId(part['cls']), after: pairId(part['sep']) };
    case 'TemplateProcessing':
      return fromTemplate(part as unknown as TokenizerPart);
    default:
      return NONE;
  }
}

function fromTemplate(part: TokenizerPart): AroundText {
  const pieces = (Array.isArray(part['single']) ? part['single'] : []).filter(isJsonObject);
  const text = pieces.findIndex((piece) => piece['Sequence'] !== undefined);
  if (text < 0) return NONE;
  const special = isJsonObject(part['special_tokens']) ? part['special_tokens'] : {};
  const ids = (piece: Record<string, unknown>): number[] => {
    const name = isJsonObject(piece['SpecialToken']) ? piece['SpecialToken']['id'] : undefined;
    const entry = typeof name === 'string' ? special[name] : undefined;
    return isJsonObject(entry) && Array.isArray(entry['ids']) ? entry['ids'].filter((id): id is number => Number.isInteger(id)) : [];
  };
  return { before: pieces.slice(0, text).flatMap(ids), after: pieces.slice(text + 1).flatMap(ids) };
}

const pairId = (value: unknown): number[] => (Array.isArray(value) && Number.isInteger(value[1]) ? [value[1] as number] : []);
