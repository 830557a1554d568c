/** Tokens of the reasoning part by effort (docs/spec/serving.md §3.4); 0 = none at all. */
const BUDGETS: Readonly<Record<string, number>> = { none: 0, minimal: 512, low: 1_024, medium: 4_096, high: 16_384, xhigh: 16_384, max: 16_384 };

export const EFFORTS: readonly string[] = Object.keys(BUDGETS);

/** undefined for a word that is no effort. */
export const budgetOfEffort = (effort: string): number | undefined => (Object.hasOwn(BUDGETS, effort) ? BUDGETS[effort] : undefined);
