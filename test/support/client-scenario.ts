/** What every official client is asked to do against the model of tool-model.ts. */
export const PARAMETERS = {
  type: 'object' as const,
  properties: { name: { type: 'string' as const, maxLength: 300 }, n: { type: 'integer' as const, minimum: 1, maximum: 9 } },
  required: ['name', 'n'],
  additionalProperties: false as const,
};

/** Words that a client writes to the console while it works: an answer that it does not like. */
export async function warningsOf(work: () => Promise<void>): Promise<string[]> {
  const lines: string[] = [];
  const kept = { warn: console.warn, error: console.error };
  console.warn = console.error = (...words: unknown[]) => void lines.push(words.map(String).join(' '));
  const onWarning = (warning: Error) => void lines.push(warning.message);
  process.on('warning', onWarning);
  try {
    await work();
    // Warnings of the process come a turn later.
    await new Promise((resolve) => setImmediate(resolve));
  } finally {
    Object.assign(console, kept);
    process.off('warning', onWarning);
  }
  return lines;
}
