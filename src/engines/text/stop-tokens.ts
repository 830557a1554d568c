/** What stop tokens are chosen from; formats' Tokenizer fits. */
export interface StopTokenSource {
  readonly eosIds: readonly number[];
  readonly specialTokens: ReadonlyMap<string, number>;
  idOf(text: string): number | null;
  encode(text: string, options: { readonly special: boolean }): number[];
  decode(ids: readonly number[], options: { readonly skipSpecial: boolean }): string;
}

const ENDING = /end|stop|eot|return|finish|done|im_end/i;
const PADDING = /^[<[|]*(?:pad|padding)[>\]|]*$/i;
/** End marks of reasoning parts and of message headers: the answer goes on after them. */
const NOT_AN_END = /think|reason|channel|header/i;
const COMMON_ENDS = ['</s>', '<|endoftext|>', '<|im_end|>', '<|eot_id|>', '<end_of_turn>'];

/** Ids that end an answer and are never shown (docs/spec/store.md §10). */
export function stopTokenIds(tokenizer: StopTokenSource): ReadonlySet<number> {
  const ids = new Set(tokenizer.eosIds);
  for (const [text, id] of tokenizer.specialTokens) {
    if (PADDING.test(text) || (ENDING.test(text) && !NOT_AN_END.test(text))) ids.add(id);
  }
  for (const text of [...COMMON_ENDS, '<|end|>']) {
    // A tokenizer makes its tables with the first text that it encodes, and a load should not wait for them.
    if (tokenizer.idOf(text) === null) continue;
    const [id, ...more] = tokenizer.encode(text, { special: true });
    if (id !== undefined && more.length === 0 && tokenizer.decode([id], { skipSpecial: false }) === text) ids.add(id);
  }
  return ids;
}

/** Ends of turns of conversations without a chat template; in chat and server (docs/spec/store.md §10). */
export const ROLE_MARKS = ['\nHuman:', '\nAssistant:', '\nYou:'] as const;
