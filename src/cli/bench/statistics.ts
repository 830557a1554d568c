export const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

/** Sample standard deviation; 0 for one value. */
export function deviation(values: readonly number[]): number {
  if (values.length < 2) return 0;
  const middle = mean(values);
  return Math.sqrt(values.reduce((sum, value) => sum + (value - middle) ** 2, 0) / (values.length - 1));
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}

/** Mean and spread of what was measured; null when nothing was. */
export const summary = (values: readonly number[]): { readonly mean: number; readonly deviation: number } | null =>
  values.length === 0 ? null : { mean: round(mean(values)), deviation: round(deviation(values)) };

export const round = (value: number, digits = 2): number => Math.round(value * 10 ** digits) / 10 ** digits;
