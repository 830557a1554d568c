import { expect, test } from 'vitest';
import { type StopTokenSource, stopTokenIds } from './stop-tokens.ts';

/** A tokenizer that knows only whole words of its list. */
function source(eosIds: number[], special: string[], plain: string[] = []): StopTokenSource {
  const words = [...special, ...plain];
  return {
    eosIds,
    specialTokens: new Map(special.map((text, id) => [text, id])),
    idOf: (text) => (words.includes(text) ? words.indexOf(text) : null),
    encode(text) {
      if (!words.includes(text)) throw new Error(`${text} is no token: encoding it would make the tables of the merges.`);
      return [words.indexOf(text)];
    },
    decode: (ids) => ids.map((id) => words[id] ?? '?').join(''),
  };
}

test('[store K87] both ends of a model with two, and the end of turn of Gemma, stop an answer', () => {
  const llama = source([0], ['<|end_of_text|>', '<|eot_id|>', '<|begin_of_text|>', '<|start_header_id|>', '<|end_header_id|>']);
  expect([...stopTokenIds(llama)].sort()).toEqual([0, 1]);
  const gemma = source([1], ['<pad>', '<eos>', '<bos>'], ['<end_of_turn>', '<start_of_turn>']);
  expect([...stopTokenIds(gemma)].sort()).toEqual([0, 1, 3]);
});

test('a reasoning end is no stop, the end of a harmony message is', () => {
  const model = source([], ['<|end|>', '<|return|>', '</think_end>', '<|channel_end|>', '<|start|>']);
  expect([...stopTokenIds(model)].sort()).toEqual([0, 1]);
});
