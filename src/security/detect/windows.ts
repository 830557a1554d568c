/** Subjects that a rule remembers; the one that was quiet for longest goes first. */
const MAX_SUBJECTS = 1_000;

/** Values by subject, made on first use and forgotten in the order of their last one. */
export function createSubjects<T>(make: () => T, max = MAX_SUBJECTS): (subject: string) => T {
  const values = new Map<string, T>();
  return (subject) => {
    const value = values.get(subject) ?? make();
    values.delete(subject);
    values.set(subject, value);
    if (values.size > max) values.delete(values.keys().next().value!);
    return value;
  };
}

const BUCKETS = 30;

/** Sums over a sliding time, in thirty buckets: as cheap for a million events as for one. */
export function createSlidingSum(windowMs: number): { add(atMs: number, amount?: number): void; sum(atMs: number): number } {
  const width = windowMs / BUCKETS;
  const sums = new Map<number, number>();
  const drop = (atMs: number): void => {
    for (const bucket of sums.keys()) if (bucket <= Math.floor(atMs / width) - BUCKETS) sums.delete(bucket);
  };
  return {
    add(atMs, amount = 1) {
      const bucket = Math.floor(atMs / width);
      sums.set(bucket, (sums.get(bucket) ?? 0) + amount);
      if (sums.size > BUCKETS) drop(atMs);
    },
    sum(atMs) {
      drop(atMs);
      let total = 0;
      for (const amount of sums.values()) total += amount;
      return total;
    },
  };
}

/** Different names within a sliding time, counted up to a limit. */
export function createSlidingNames(windowMs: number, limit: number): (name: string, atMs: number) => number {
  const seen = new Map<string, number>();
  return (name, atMs) => {
    seen.delete(name);
    seen.set(name, atMs);
    for (const [each, last] of seen) {
      if (atMs - last < windowMs && seen.size <= limit) break;
      seen.delete(each);
    }
    return seen.size;
  };
}

/** Says when a state begins, and once more for each `againMs` that it goes on. */
export function createLatch(againMs: number): (active: boolean, atMs: number) => boolean {
  let firedAt: number | null = null;
  return (active, atMs) => {
    if (!active) {
      firedAt = null;
      return false;
    }
    if (firedAt !== null && atMs - firedAt < againMs) return false;
    firedAt = atMs;
    return true;
  };
}
