/** Bounds of every request that no configuration changes (docs/spec/security.md §7); who enforces one takes it from here. */
export const REQUEST_LIMITS = {
  headerBytes: 16 * 1024,
  urlBytes: 8 * 1024,
  connections: 1024,
  jsonDepth: 64,
  jsonKeys: 10_000,
  messages: 1024,
  parts: 64,
  tools: 128,
  toolBytes: 64 * 1024,
  stopStrings: 16,
  stopCharacters: 256,
  biasEntries: 300,
  /** One file of a form. */
  uploadBytes: 50_000_000,
} as const;
