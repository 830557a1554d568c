/**
 * The one text of a JSON value (RFC 8785): members in the order of their names' UTF-16 units, no blanks, numbers and strings as ECMAScript writes
 * them. Two values that are equal give the same bytes, so that a hash of them can be compared. Throws TypeError for what JSON cannot say:
 * numbers that are not finite, half a surrogate pair, undefined, functions.
 */
export function canonicalJson(value: unknown): string {
  if (value === null || typeof value === 'boolean') return String(value);
  if (typeof value === 'string') return quoted(value);
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) throw new TypeError(`${value} has no form in JSON`);
    return JSON.stringify(value);
  }
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`;
  if (typeof value !== 'object') throw new TypeError(`a ${typeof value} has no form in JSON`);
  const members = Object.keys(value)
    .sort()
    .map((name) => `${quoted(name)}:${canonicalJson((value as Record<string, unknown>)[name])}`);
  return `{${members.join(',')}}`;
}

function quoted(text: string): string {
  if (!text.isWellFormed()) throw new TypeError('half a surrogate pair has no form in UTF-8');
  return JSON.stringify(text);
}
