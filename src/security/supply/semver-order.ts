/**
 * Order of two npm versions (semver 2.0.0 §11): negative, 0 or positive; null where one of them is no version. A leading `v` or `=` and missing
 * parts are read as npm reads them in ranges: `1.2` is 1.2.0. Build metadata does not count.
 */
export function compareSemver(a: string, b: string): number | null {
  const left = parse(a);
  const right = parse(b);
  if (left === null || right === null) return null;
  for (let i = 0; i < 3; i += 1) {
    const order = compareBig(left.release[i]!, right.release[i]!);
    if (order !== 0) return order;
  }
  const [one, other] = [left.pre, right.pre];
  // A version without a pre-release comes after all of its pre-releases.
  if (one.length === 0 || other.length === 0) return Math.sign(other.length - one.length) * (one.length === other.length ? 0 : 1);
  for (let i = 0; i < Math.min(one.length, other.length); i += 1) {
    const order = compareIdentifiers(one[i]!, other[i]!);
    if (order !== 0) return order;
  }
  return one.length - other.length;
}

interface Semver {
  readonly release: readonly bigint[];
  readonly pre: readonly string[];
}

const FORM = /^[v=\s]*(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?\s*$/;

function parse(text: string): Semver | null {
  const match = text.length > 256 ? null : FORM.exec(text);
  if (match === null) return null;
  const [, major, minor = '0', patch = '0', pre] = match;
  return { release: [BigInt(major!), BigInt(minor), BigInt(patch)], pre: pre === undefined ? [] : pre.split('.') };
}

const compareBig = (a: bigint, b: bigint): number => (a < b ? -1 : a > b ? 1 : 0);

/** Numbers by value and before words, words by their characters. */
function compareIdentifiers(a: string, b: string): number {
  const numeric = [/^\d+$/.test(a), /^\d+$/.test(b)];
  if (numeric[0] && numeric[1]) return compareBig(BigInt(a), BigInt(b));
  if (numeric[0] !== numeric[1]) return numeric[0] ? -1 : 1;
  return a < b ? -1 : a > b ? 1 : 0;
}
