import { type Clock, systemClock } from '../core/index.ts';

/** Lines a second that one child may write into our log. */
const LINES_PER_SECOND = 1_000;

export interface LineRate {
  push(line: string): void;
  /** Tells what was left out since the last second. */
  end(): void;
}

/** Passes lines on; those of a second that holds too many are counted, and told in one line (docs/spec/security.md §16). */
export function createLineRate(onLine: (line: string) => void, clock: Pick<Clock, 'monotonic'> = systemClock): LineRate {
  let second = Number.NEGATIVE_INFINITY;
  let passed = 0;
  let dropped = 0;
  const tell = () => {
    if (dropped > 0) onLine(`dropped ${dropped} lines`);
    dropped = 0;
  };
  return {
    push(line) {
      const now = clock.monotonic();
      if (now - second >= 1000) {
        tell();
        second = now;
        passed = 0;
      }
      passed += 1;
      if (passed <= LINES_PER_SECOND) onLine(line);
      else dropped += 1;
    },
    end: tell,
  };
}
