import { expect, test } from 'vitest';
import { aroundText } from './around-text.ts';

test('the tokens around a text are read from each kind of post-processor', () => {
  expect(aroundText({ type: 'BertProcessing', sep: ['[SEP]', 102], cls: ['[CLS]', 101] })).toEqual({ before: [101], after: [102] });
  const template = (pieces: unknown[]) => ({
    type: 'TemplateProcessing',
    single: pieces,
    special_tokens: { '<s>': { id: '<s>', ids: [1], tokens: ['<s>'] }, '</s>': { id: '</s>', ids: [2, 3], tokens: ['</s>', 'x'] } },
  });
  const [bos, eos, text] = [{ SpecialToken: { id: '<s>', type_id: 0 } }, { SpecialToken: { id: '</s>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }];
  expect(aroundText(template([bos, text, eos]))).toEqual({ before: [1], after: [2, 3] });
  expect(aroundText(template([text, eos]))).toEqual({ before: [], after: [2, 3] });
  expect(aroundText({ type: 'Sequence', processors: [{ type: 'ByteLevel' }, template([text, eos])] })).toEqual({ before: [], after: [2, 3] });
  for (const none of [null, undefined, { type: 'ByteLevel' }, { type: 'TemplateProcessing' }, template([eos])])
    expect(aroundText(none)).toEqual({ before: [], after: [] });
});
