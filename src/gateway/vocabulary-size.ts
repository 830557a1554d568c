/** Token ids that a model's config knows; null when it does not say. */
export function vocabularySize(config: Readonly<Record<string, unknown>>): number | null {
  const text = config['text_config'];
  const nested = typeof text === 'object' && text !== null ? (text as Record<string, unknown>)['vocab_size'] : undefined;
  const size = config['vocab_size'] ?? nested;
  return typeof size === 'number' ? size : null;
}
