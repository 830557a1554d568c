import { createHash } from 'node:crypto';

export const BALANCES = ['weighted', 'least-busy', 'prefix-affine'] as const;
export type Balance = (typeof BALANCES)[number];

export interface Weighted {
  readonly id: string;
  /** Above 0. */
  readonly weight: number;
  readonly inFlight: number;
  readonly queued: number;
}

/** Above it the nearest target gives way to another one (docs/spec/serving.md §6.2). */
const AFFINE_QUEUE = 4;
const BOUND = 1.25;

/** Credits of smooth weighted round-robin, kept between picks. */
export type Credits = Map<string, number>;

/** Targets in the order in which they should be asked. */
export interface Ordered {
  readonly ids: readonly string[];
  /** Tells which one was taken: it need not be the first, since loaded models go before others. */
  picked(id: string): void;
}

/** Smooth weighted round-robin: for each pick every target earns its weight, and the one that is taken pays what all earned; the richest is first. */
export function byWeight(targets: readonly Weighted[], credits: Credits): Ordered {
  const earned = targets.map(({ id, weight }) => ({ id, credit: (credits.get(id) ?? 0) + weight }));
  return {
    ids: earned.toSorted((a, b) => b.credit - a.credit).map(({ id }) => id),
    picked(taken) {
      const total = targets.reduce((sum, { weight }) => sum + weight, 0);
      if (!targets.some(({ id }) => id === taken)) return;
      for (const { id, weight } of targets) credits.set(id, (credits.get(id) ?? 0) + weight - (id === taken ? total : 0));
    },
  };
}

/** Least (in flight + queued) for its weight first; equal ones take turns by weight. */
export function byBusyness(targets: readonly Weighted[], credits: Credits): Ordered {
  const busy = ({ inFlight, queued, weight }: Weighted) => (inFlight + queued) / weight;
  const least = Math.min(...targets.map(busy));
  const ties = byWeight(
    targets.filter((target) => busy(target) === least),
    credits,
  );
  const rest = targets.filter((target) => busy(target) !== least).sort((a, b) => busy(a) - busy(b));
  return { ...ties, ids: [...ties.ids, ...rest.map(({ id }) => id)] };
}

/**
 * Rendezvous hashing: requests with the same beginning meet the same target, whose prefix cache holds it. A target that would have
 * more than 1.25 times its share of what runs, or a queue, gives way to the next one.
 */
export function byAffinity(targets: readonly Weighted[], key: string): Ordered {
  const weights = targets.reduce((sum, { weight }) => sum + weight, 0);
  const total = targets.reduce((sum, { inFlight }) => sum + inFlight, 0);
  const fits = ({ inFlight, queued, weight }: Weighted) => queued <= AFFINE_QUEUE && inFlight + 1 <= Math.ceil((BOUND * (total + 1) * weight) / weights);
  const scored = targets.map((target) => ({ target, score: -target.weight / Math.log(unit(`${key}\n${target.id}`)) })).sort((a, b) => b.score - a.score);
  const ids = [...scored.filter(({ target }) => fits(target)), ...scored.filter(({ target }) => !fits(target))].map(({ target }) => target.id);
  return { ids, picked() {} };
}

/** A number in (0, 1) from a text, the same on every machine. */
function unit(text: string): number {
  const digest = createHash('sha256').update(text).digest();
  return (digest.readUIntBE(0, 6) + 0.5) / 2 ** 48;
}
