import { expect, it } from 'vitest';
import { newTokens } from './token-policy.ts';

it('[store K90] an answer may fill the context, one about images has 2,048 tokens, and a given limit counts before both', () => {
  expect([newTokens(undefined, false, 8192), newTokens(undefined, true, 8192), newTokens(5, true, 8192), newTokens(5, false, 8192)]).toEqual([
    8192, 2048, 5, 5,
  ]);
  expect(newTokens(undefined, false, null)).toBeUndefined();
});
