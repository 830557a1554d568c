import type { Finding, Rule } from '../signal.ts';
import { createLatch, createSlidingNames, createSlidingSum, createSubjects } from '../windows.ts';

const TEN_MINUTES_MS = 600_000;
const FAILURES = 3;
const SOURCES = 2;
const SAID: Readonly<Record<string, string>> = {
  sig_key_revoked: 'it is signed with a key that was revoked',
  sig_root_revoked: 'its content was revoked',
  sig_rollback: 'its content is another than the one that was accepted',
  file_changed: 'a file of it was changed',
};

/** R1 and R2: models that fail their verification, and models that nobody fetched. */
export function createModelRules(): Rule {
  const failures = createSubjects(() => ({
    count: createSlidingSum(TEN_MINUTES_MS),
    sources: createSlidingNames(TEN_MINUTES_MS, 16),
    many: createLatch(TEN_MINUTES_MS),
  }));
  return {
    take(signal, { monoMs }) {
      if (signal.kind !== 'line') return [];
      const { event, model, reason, details } = signal.line;
      const id = model?.id ?? 'unknown';
      if (event === 'model.verify.ok' && details?.['firstUse'] === true) {
        const message = `${id} was loaded for the first time, and hearth did not fetch it: from now on its files have to stay as they are.`;
        return [{ rule: 'R1', subject: `${id} first use`, severity: 'low', message }];
      }
      if (event !== 'model.verify.failed' && event !== 'model.refused') return [];
      const code = reason ?? 'unknown';
      const found: Finding[] = [
        { rule: 'R1', subject: `${id} ${code}`, message: `${id} was refused: ${SAID[code] ?? code}.`, details: { model: id, reason: code } },
      ];
      const seen = failures(id);
      seen.count.add(monoMs);
      const times = seen.count.sum(monoMs);
      const sources = seen.sources(String(details?.['source'] ?? ''), monoMs);
      if (seen.many(times >= FAILURES || sources >= SOURCES, monoMs))
        found.push({
          rule: 'R2',
          subject: id,
          message: `${id} failed its verification ${times} times in ten minutes${sources >= SOURCES ? `, from ${sources} sources` : ''}.`,
          details: { model: id, times, sources },
        });
      return found;
    },
  };
}
