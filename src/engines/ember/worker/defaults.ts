/** What the options of a load are when they are not given; apart from their schema, which the child does not load. */
export const DEFAULTS = {
  contextTokens: 8_192,
  parallelSequences: 4,
  activations: 'mixed',
  kvType: 'bf16',
  residentAdapters: 16,
  batchTokens: 256,
  draftBatchTokens: 128,
  encoderTokens: 512,
} as const;
