import type { Finding, Rule } from '../signal.ts';
import { createLatch, createSlidingSum, createSubjects } from '../windows.ts';

const FIVE_MINUTES_MS = 300_000;
const TEN_MINUTES_MS = 600_000;
/** Of the injection score. */
export const SUSPICIOUS = 5;
const DENIALS = 5;
const HIDDEN_PROMPTS = 3;
const ENCODED_CHARACTERS = 4096;

/** R8: injections and refused tools; R9: what people do not see in prompts; R10: secrets in answers. */
export function createContentRules(): Rule {
  const denials = createSubjects(() => ({ count: createSlidingSum(FIVE_MINUTES_MS), many: createLatch(FIVE_MINUTES_MS) }));
  const callers = createSubjects(() => ({
    suspicious: createLatch(TEN_MINUTES_MS),
    hidden: createSlidingSum(TEN_MINUTES_MS),
    hides: createLatch(TEN_MINUTES_MS),
    encodes: createLatch(TEN_MINUTES_MS),
  }));
  return {
    take(signal, { monoMs }) {
      if (signal.kind === 'line' && signal.line.event === 'tool.deny') {
        const subject = signal.line.actor?.key ?? 'unknown';
        const of = denials(subject);
        of.count.add(monoMs);
        const times = of.count.sum(monoMs);
        if (!of.many(times >= DENIALS, monoMs)) return [];
        return [{ rule: 'R8', subject: `tools of ${subject}`, message: `${times} tool calls of ${subject} were refused in five minutes.`, details: { times } }];
      }
      if (signal.kind === 'line' && signal.line.event === 'secret.leak') {
        const { model, reason } = signal.line;
        const id = model?.id ?? 'unknown';
        return [
          {
            rule: 'R10',
            subject: id,
            message: `An answer of ${id} held a secret (${reason ?? 'unknown'}); it was cut there.`,
            details: { model: id, secret: reason },
          },
        ];
      }
      if (signal.kind !== 'prompt') return [];
      const { caller, model, score, signs, hidden, encodedCharacters, requestId } = signal.facts;
      const of = callers(caller);
      const found: Finding[] = [];
      if (score >= SUSPICIOUS) {
        if (of.suspicious(true, monoMs))
          found.push({
            rule: 'R8',
            subject: `prompts of ${caller}`,
            message: `A text that ${caller} sent looks like a prompt injection: ${signs.join(', ')} (score ${score}).`,
            details: { score, signs, model, requestId },
          });
      } else of.suspicious(false, monoMs);
      if (hidden.length > 0) of.hidden.add(monoMs);
      const times = of.hidden.sum(monoMs);
      if (of.hides(times >= HIDDEN_PROMPTS, monoMs))
        found.push({
          rule: 'R9',
          subject: `hidden text of ${caller}`,
          message: `${times} prompts of ${caller} in ten minutes hold characters that people do not see (${hidden.join(', ')}).`,
          details: { times, kinds: [...hidden], requestId },
        });
      if (of.encodes(encodedCharacters > ENCODED_CHARACTERS, monoMs))
        found.push({
          rule: 'R9',
          subject: `encoded text of ${caller}`,
          message: `A prompt of ${caller} holds ${encodedCharacters} characters of base64.`,
          details: { encodedCharacters, requestId },
        });
      return found;
    },
  };
}
