// Owns: tokenizers: text to ids and back, the files that describe them, and the vocabulary keys of GGUF.
// Refuses: chat templates' rendering, sampling, any knowledge of models.
// Called by: convert, and engines for prompts and answers.
export { checkVocabulary } from './check-vocabulary.ts';
export type { Detokenizer } from './detokenizer.ts';
export type { TextSegment } from './encoder.ts';
export { type VocabularyFiles, vocabularyFromGguf } from './gguf-vocabulary.ts';
export { TOKEN_TYPE } from './token-type.ts';
export { loadTokenizer, type Tokenizer } from './tokenizer.ts';
export { placeholderVocabulary, vocabularyToGguf } from './vocabulary-to-gguf.ts';
