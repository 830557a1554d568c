/** What a breaker remembers of one (upstream, model); plain data, so that machines can share it. Times are milliseconds since the epoch. */
export interface BreakerState {
  readonly failuresInRow: number;
  /** Outcomes of the last 30 s by their second, oldest first. */
  readonly seconds: readonly { readonly second: number; readonly ok: number; readonly failed: number }[];
  /** 0 = closed. */
  readonly openUntilMs: number;
  /** How often in a row it opened, without a success between. */
  readonly opened: number;
}

export const CLOSED: BreakerState = { failuresInRow: 0, seconds: [], openUntilMs: 0, opened: 0 };

export const BREAKER = { failuresInRow: 5, windowS: 30, leastOutcomes: 10, failedShare: 0.5, openMs: 15_000, openCapMs: 300_000, jitter: 0.1 } as const;

export type BreakerPhase = 'closed' | 'open' | 'half-open';

/** Half-open: its time is over, and one probe may go through. */
export const phaseOf = ({ openUntilMs }: BreakerState, nowMs: number): BreakerPhase =>
  openUntilMs === 0 ? 'closed' : nowMs < openUntilMs ? 'open' : 'half-open';

/** The state after an outcome. While it is not closed only the outcome of the probe counts: others began before it opened. */
export function observe(state: BreakerState, ok: boolean, { nowMs, random, probe }: { nowMs: number; random: () => number; probe: boolean }): BreakerState {
  if (state.openUntilMs !== 0) {
    if (!probe) return state;
    return ok ? CLOSED : open(state, nowMs, random);
  }
  const second = Math.floor(nowMs / 1000);
  const seconds = state.seconds.filter((each) => each.second > second - BREAKER.windowS);
  const last = seconds.at(-1);
  if (last?.second === second) seconds[seconds.length - 1] = { second, ok: last.ok + (ok ? 1 : 0), failed: last.failed + (ok ? 0 : 1) };
  else seconds.push({ second, ok: ok ? 1 : 0, failed: ok ? 0 : 1 });
  const failuresInRow = ok ? 0 : state.failuresInRow + 1;
  const failed = seconds.reduce((sum, each) => sum + each.failed, 0);
  const all = seconds.reduce((sum, each) => sum + each.failed + each.ok, 0);
  const next = { ...state, failuresInRow, seconds };
  const bad = failuresInRow >= BREAKER.failuresInRow || (all >= BREAKER.leastOutcomes && failed / all >= BREAKER.failedShare);
  return !ok && bad ? open(next, nowMs, random) : next;
}

/** 15 s, doubled each time up to 300 s, and up to a tenth more, so that many machines do not ask at once. */
function open(state: BreakerState, nowMs: number, random: () => number): BreakerState {
  const ms = Math.min(BREAKER.openCapMs, BREAKER.openMs * 2 ** state.opened);
  return { failuresInRow: state.failuresInRow, seconds: [], openUntilMs: nowMs + Math.round(ms * (1 + BREAKER.jitter * random())), opened: state.opened + 1 };
}
