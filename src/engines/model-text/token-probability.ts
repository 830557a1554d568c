import type { TokenProbability } from '../../contract/index.ts';
import type { Tokenizer } from '../../formats/index.ts';

/** Instead of −∞, which JSON does not have. */
const LEAST = -9_999;

/** A token with its text, as it is told beside an answer. */
export function tokenProbability(tokenizer: Pick<Tokenizer, 'tokenBytes'>, id: number, logprob: number): TokenProbability {
  const bytes = tokenizer.tokenBytes(id);
  return { id, token: Buffer.from(bytes).toString('utf8'), bytes: Array.from(bytes), logprob: Math.max(LEAST, logprob) };
}
