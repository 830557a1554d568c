const LONGEST_MS = 7 * 24 * 3_600_000;

/** How long the server wants no further call, in milliseconds: `retry-after-ms`, or `retry-after` in seconds or as an HTTP date (RFC 9110 §10.2.3). */
export function retryAfterMs(headers: Readonly<Record<string, string | readonly string[] | undefined>>, nowMs: number): number | undefined {
  const exact = Number(single(headers['retry-after-ms']) ?? Number.NaN);
  if (Number.isFinite(exact) && exact >= 0) return Math.min(exact, LONGEST_MS);
  const text = single(headers['retry-after'])?.trim();
  if (text === undefined || text === '') return undefined;
  if (/^\d+(\.\d+)?$/.test(text)) return Math.min(Number(text) * 1_000, LONGEST_MS);
  const date = /[A-Za-z]{3}/.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(date) ? undefined : Math.min(Math.max(0, date - nowMs), LONGEST_MS);
}

const single = (value: string | readonly string[] | undefined): string | undefined => (typeof value === 'object' ? value[0] : value);
