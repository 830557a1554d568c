import * as library from '@huggingface/tokenizers';

/**
 * The parts of `@huggingface/tokenizers` that hearth uses: merges, lattice, longest match, and the rewriting of Oniguruma
 * expressions. Declared here because the package's own declarations do not resolve under NodeNext.
 */
interface Library {
  readonly BPE: new (config: object) => (words: string[]) => string[];
  readonly WordPiece: new (config: object) => (words: string[]) => string[];
  readonly Unigram: new (config: object, eosToken: string) => { tokenize(word: string): string[] };
  readonly SplitPreTokenizer: new (config: object) => { readonly pattern: RegExp | null };
}

export const { BPE, WordPiece, Unigram, SplitPreTokenizer } = library as unknown as Library;
