import type { TakenTokens } from '../../state-store.ts';

export interface Taking {
  readonly cost: number;
  readonly perSecond: number;
  readonly burst: number;
  readonly nowMs: number;
  readonly force: boolean;
}

/** A bucket that was filled to `level` at `atMs`; null: a full one. Pure: the answer's `remaining` is the level at `nowMs`. */
export function takeFrom(bucket: { readonly level: number; readonly atMs: number } | null, { cost, perSecond, burst, nowMs, force }: Taking): TakenTokens {
  const grown = bucket === null ? burst : bucket.level + (Math.max(0, nowMs - bucket.atMs) / 1000) * perSecond;
  const level = Math.min(burst, grown);
  // Sums of fractions miss whole numbers by a little.
  if (force || cost <= level + 1e-9) return { granted: true, retryAfterMs: 0, remaining: Math.min(burst, level - cost) };
  const retryAfterMs = cost > burst || perSecond <= 0 ? Number.POSITIVE_INFINITY : Math.ceil(((cost - level) / perSecond) * 1000);
  return { granted: false, retryAfterMs, remaining: level };
}
