import { choice, type GrammarNode, NEVER, oneOf, repeat, sequence, text } from './grammar.ts';

/** Decimal integers from `min` to `max`, both included; no leading zeros, up to 15 digits where a side is open. Safe integers only. */
export function integerRange(min: number | null, max: number | null): GrammarNode {
  const [low, high] = [min ?? -LARGEST, max ?? LARGEST];
  if (low > high) return NEVER;
  const parts: GrammarNode[] = [];
  if (low < 0) parts.push(sequence(text('-'), natural(Math.max(1, -high), -low)));
  if (high >= 0) parts.push(natural(Math.max(0, low), high));
  return choice(...parts);
}

const LARGEST = 999_999_999_999_999;

/** 0 ≤ low ≤ high. */
function natural(low: number, high: number): GrammarNode {
  const parts: GrammarNode[] = [];
  for (let length = String(low).length; length <= String(high).length; length++) {
    const from = Math.max(low, length === 1 ? 0 : 10 ** (length - 1));
    const to = Math.min(high, 10 ** length - 1);
    parts.push(sameLength(String(from), String(to)));
  }
  return choice(...parts);
}

const digits = (from: string, to: string): GrammarNode => oneOf(from === to ? from : `${from}-${to}`);
const anyDigits = (count: number): GrammarNode => repeat(oneOf('0-9'), count, count);
const next = (digit: string): string => String(Number(digit) + 1);
const before = (digit: string): string => String(Number(digit) - 1);

/** Two numbers of equally many digits. */
function sameLength(low: string, high: string): GrammarNode {
  if (low === '') return text('');
  const [a, b] = [low[0]!, high[0]!];
  const rest = low.length - 1;
  if (a === b) return sequence(text(a), sameLength(low.slice(1), high.slice(1)));
  const full = /^0*$/.test(low.slice(1));
  const top = /^9*$/.test(high.slice(1));
  const [from, to] = [full ? a : next(a), top ? b : before(b)];
  return choice(
    ...(full ? [] : [sequence(text(a), sameLength(low.slice(1), '9'.repeat(rest)))]),
    ...(from <= to ? [sequence(digits(from, to), anyDigits(rest))] : []),
    ...(top ? [] : [sequence(text(b), sameLength('0'.repeat(rest), high.slice(1)))]),
  );
}
