import type { Answer } from '../gateway/index.ts';

/** Who answered, and what was tried before (docs/spec/serving.md §6.3). Names that no header can hold are percent-encoded. */
export const answerHeaders = ({ source, attempts, headers }: Answer): Record<string, string> => ({
  ...headers,
  'x-hearth-model': encodeURI(source.model),
  'x-hearth-upstream': encodeURI(source.upstream),
  'x-hearth-attempts': encodeURI(attempts.map(({ upstream, outcome }) => `${upstream}=${outcome}`).join(',')),
});
