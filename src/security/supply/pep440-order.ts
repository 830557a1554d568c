/**
 * Order of two Python versions (PEP 440): negative, 0 or positive; null where one of them is no version. Epoch, then release without zeros at its
 * end, then development release, pre-release, the release itself, post-release; a local part (`+cpu`) comes after the same version without one.
 */
export function comparePep440(a: string, b: string): number | null {
  const left = parse(a);
  const right = parse(b);
  if (left === null || right === null) return null;
  return compareLists(left, right);
}

/** What is compared, one after the other; lists by their items, the shorter one first. */
type Part = bigint | string | readonly Part[];

const FORM =
  /^\s*v?(?:(\d+)!)?(\d+(?:\.\d+)*)(?:[-_.]?(alpha|beta|preview|pre|rc|a|b|c)[-_.]?(\d*))?(?:-(\d+)|[-_.]?(post|rev|r)[-_.]?(\d*))?(?:[-_.]?(dev)[-_.]?(\d*))?(?:\+([a-z0-9]+(?:[-_.][a-z0-9]+)*))?\s*$/i;
const PHASES: Readonly<Record<string, bigint>> = { a: 0n, alpha: 0n, b: 1n, beta: 1n, c: 2n, rc: 2n, pre: 2n, preview: 2n };
const BEFORE_ALL = -1n;
const AFTER_PRE = 3n;

function parse(text: string): Part | null {
  const match = text.length > 256 ? null : FORM.exec(text);
  if (match === null) return null;
  const [, epoch = '0', release, phase, phaseNumber, shortPost, post, postNumber, dev, devNumber, local] = match;
  const numbers = release!.split('.').map(BigInt);
  while (numbers.length > 1 && numbers.at(-1) === 0n) numbers.pop();
  const hasPost = shortPost !== undefined || post !== undefined;
  const pre: Part =
    phase !== undefined
      ? [PHASES[phase.toLowerCase()]!, BigInt(phaseNumber || '0')]
      : // A development release of the version itself comes before its pre-releases.
        [dev !== undefined && !hasPost ? BEFORE_ALL : AFTER_PRE];
  return [
    BigInt(epoch),
    numbers,
    pre,
    hasPost ? BigInt(shortPost ?? (postNumber || '0')) : BEFORE_ALL,
    dev === undefined ? [1n] : [0n, BigInt(devNumber || '0')],
    local === undefined ? [] : localParts(local),
  ];
}

/** Words come before numbers. */
const localParts = (local: string): Part =>
  local
    .toLowerCase()
    .split(/[-_.]/)
    .map((part) => (/^\d+$/.test(part) ? [1n, BigInt(part)] : [0n, part]));

function compareLists(a: Part, b: Part): number {
  if (Array.isArray(a) && Array.isArray(b)) {
    for (let i = 0; i < Math.min(a.length, b.length); i += 1) {
      const order = compareLists(a[i] as Part, b[i] as Part);
      if (order !== 0) return order;
    }
    return a.length - b.length;
  }
  return a < b ? -1 : a > b ? 1 : 0;
}
