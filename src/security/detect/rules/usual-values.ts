/** Looks at one value after another and says which differ from what was usual. */
export interface UsualValues {
  /** The z of this value; null while too little is known. It counts for what is usual unless it is far out. */
  take(value: number): number | null;
}

const ALPHA = 0.05;
const WARM_UP = 60;
export const FAR = 6;
/** After so many far values in a row they are what is usual now. */
const NEW_USUAL = 30;
/** Values that a median is of. */
const KEPT = 61;
/** Makes the median of absolute deviations a standard deviation. */
const MAD_SCALE = 1.4826;

/**
 * Exponentially weighted mean and variance (docs/spec/security.md §18, R5); `least` is the smallest standard deviation, so that values
 * which hardly ever differ do not make every small difference look large.
 */
export function createEwma(least: number): UsualValues {
  let [seen, mean, variance, far] = [0, 0, 0, 0];
  function learn(value: number): void {
    seen += 1;
    // A plain mean at first: the first value alone must not weigh for long.
    const weight = Math.max(ALPHA, 1 / seen);
    const difference = value - mean;
    mean += weight * difference;
    variance = (1 - weight) * (variance + weight * difference * difference);
  }
  return {
    take(value) {
      if (seen < WARM_UP) {
        learn(value);
        return null;
      }
      const z = (value - mean) / Math.max(Math.sqrt(variance), least);
      far = Math.abs(z) > FAR ? far + 1 : 0;
      if (far >= NEW_USUAL) [seen, mean, variance, far] = [0, 0, 0, 0];
      if (far === 0) learn(value);
      return z;
    },
  };
}

/** The same by the median of the last values, for what comes rarely: a single far value moves it least. */
export function createMedian(least: number): UsualValues {
  let kept: number[] = [];
  let far = 0;
  return {
    take(value) {
      if (kept.length < WARM_UP) {
        kept.push(value);
        return null;
      }
      const middle = median(kept);
      const spread = MAD_SCALE * median(kept.map((each) => Math.abs(each - middle)));
      const z = (value - middle) / Math.max(spread, least);
      far = Math.abs(z) > FAR ? far + 1 : 0;
      if (far >= NEW_USUAL) [kept, far] = [[], 0];
      if (far === 0) kept = [...kept.slice(-(KEPT - 1)), value];
      return z;
    },
  };
}

export function median(values: readonly number[]): number {
  // By numbers, without a call for each pair: this is asked for with each request.
  const ordered = Float64Array.from(values).sort();
  const middle = ordered.length >> 1;
  return ordered.length % 2 === 1 ? ordered[middle]! : (ordered[middle - 1]! + ordered[middle]!) / 2;
}
