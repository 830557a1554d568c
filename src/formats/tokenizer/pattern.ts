import { isJsonObject } from '../../core/index.ts';
import { SplitPreTokenizer } from './library.ts';
import { invalid } from './tokenizer-json.ts';

/**
 * A `{"Regex": …}` or `{"String": …}` pattern of tokenizer.json as a JavaScript expression with the flags g and u.
 * The library knows how to rewrite the Oniguruma syntax that these files are written in.
 */
export function compilePattern(pattern: unknown): RegExp {
  if (isJsonObject(pattern)) {
    try {
      const split = new SplitPreTokenizer({ type: 'Split', pattern, behavior: 'Isolated', invert: true });
      if (split.pattern !== null) return split.pattern;
    } catch (cause) {
      throw invalid(`The tokenizer has a pattern that cannot be compiled: ${(cause as Error).message}`);
    }
  }
  throw invalid('The tokenizer has a pattern that is neither a string nor an expression.');
}
