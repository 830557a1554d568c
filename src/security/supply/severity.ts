import type { OsvAffected, OsvRecord, VulnerabilitySeverity } from './types.ts';

const WORDS: Readonly<Record<string, VulnerabilitySeverity>> = {
  LOW: 'low',
  MODERATE: 'medium',
  MEDIUM: 'medium',
  IMPORTANT: 'high',
  HIGH: 'high',
  CRITICAL: 'critical',
};

/** How bad it is: the word of the database where it has one, else by the score of its CVSS 3 vector; null: neither. A malicious package is critical. */
export function severityOf(record: OsvRecord, affected: OsvAffected): VulnerabilitySeverity | null {
  if (record.id.startsWith('MAL-')) return 'critical';
  for (const specific of [affected.database_specific, record.database_specific]) {
    const word = specific?.['severity'];
    const known = typeof word === 'string' ? WORDS[word.toUpperCase()] : undefined;
    if (known !== undefined) return known;
  }
  const scores = [...(affected.severity ?? []), ...(record.severity ?? [])].flatMap(({ type, score }) =>
    type === 'CVSS_V3' && typeof score === 'string' ? (cvss3Score(score) ?? []) : [],
  );
  return scores.length === 0 ? null : fromScore(Math.max(...scores));
}

/** The bands of CVSS 3.1 §5; nothing bad is still told as low. */
const fromScore = (score: number): VulnerabilitySeverity => (score >= 9 ? 'critical' : score >= 7 ? 'high' : score >= 4 ? 'medium' : 'low');

const WEIGHTS: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  AV: { N: 0.85, A: 0.62, L: 0.55, P: 0.2 },
  AC: { L: 0.77, H: 0.44 },
  UI: { N: 0.85, R: 0.62 },
  C: { H: 0.56, L: 0.22, N: 0 },
  I: { H: 0.56, L: 0.22, N: 0 },
  A: { H: 0.56, L: 0.22, N: 0 },
};
const PRIVILEGES = { unchanged: { N: 0.85, L: 0.62, H: 0.27 }, changed: { N: 0.85, L: 0.68, H: 0.5 } } as const;

/** Base score of a CVSS 3.0 or 3.1 vector, 0 to 10 (specification 3.1 §7.1); null where it is none. */
export function cvss3Score(vector: string): number | null {
  if (!/^CVSS:3\.[01]\//.test(vector)) return null;
  const metrics = Object.fromEntries(
    vector
      .split('/')
      .slice(1)
      .map((part) => part.split(':', 2)),
  ) as Record<string, string>;
  const weight = (name: string): number => WEIGHTS[name]?.[metrics[name] ?? ''] ?? Number.NaN;
  const changed = metrics['S'] === 'C';
  const privileges = (PRIVILEGES[changed ? 'changed' : 'unchanged'] as Readonly<Record<string, number>>)[metrics['PR'] ?? ''] ?? Number.NaN;
  const missed = 1 - (1 - weight('C')) * (1 - weight('I')) * (1 - weight('A'));
  const impact = changed ? 7.52 * (missed - 0.029) - 3.25 * (missed - 0.02) ** 15 : 6.42 * missed;
  const exploitability = 8.22 * weight('AV') * weight('AC') * privileges * weight('UI');
  if (Number.isNaN(impact + exploitability)) return null;
  if (impact <= 0) return 0;
  return roundUp(Math.min(changed ? 1.08 * (impact + exploitability) : impact + exploitability, 10));
}

/** To one decimal, upwards, without the errors of binary fractions (appendix A). */
function roundUp(value: number): number {
  const scaled = Math.round(value * 100_000);
  return scaled % 10_000 === 0 ? scaled / 100_000 : (Math.floor(scaled / 10_000) + 1) / 10;
}
