import type { AnswerPart } from '../../contract/index.ts';
import type { WirePart } from './messages.ts';

/** The text or the parts of a `step`. */
export function stepText(parts: readonly AnswerPart[]): { readonly text: string; readonly parts?: WirePart[] } {
  const plain = parts.every((part) => part.kind === 'text-delta' && part.logprobs === undefined);
  return plain ? { text: parts.map((part) => (part.kind === 'text-delta' ? part.text : '')).join('') } : { text: '', parts: [...parts] as WirePart[] };
}
