import type { RequestEndEvent } from '../../../contract/index.ts';
import type { Finding, Rule } from '../signal.ts';
import { createLatch, createSlidingSum, createSubjects } from '../windows.ts';
import { createEwma, createMedian, FAR, median } from './usual-values.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;
const POINTS = 3;
/** Less often than once a minute, a value is compared with the median. */
const SPARSE_MS = 60_000;
/** A tenth, in natural logarithms: times and rates that vary less vary by chance. */
const LEAST_LOG = 0.1;
const LEAST_RATE = 0.1;
/** Of an answer, for a rate of tokens that tells something. */
const MIN_TOKENS = 16;

const WEEK_MINUTES = 7 * 24 * 60;
const TIMES_USUAL = 10;
/** Minutes with tokens that a caller must have had before anything is unusual. */
const KNOWN_MINUTES = 60;
const MEAN_MINUTES = 5;
/** Tokens a minute that are never unusual. */
const SMALL = 1_000;

/** R5: how a model answers; R6: how much a caller uses. */
export function createTrafficRules(): Rule {
  const series = createSubjects(() => createSeries());
  const rates = createSubjects(() => ({ minute: -1, all: 0, failed: 0 }));
  const callers = createSubjects(() => createUsage());

  function point(model: string, what: keyof typeof SERIES, value: number, monoMs: number): Finding[] {
    const z = series(`${what} of ${model}`)(value, monoMs, SERIES[what].least);
    if (z === null) return [];
    const { said, scale } = SERIES[what];
    return [
      {
        rule: 'R5',
        subject: `${what} of ${model}`,
        message: `${said} of ${model} is far from what it was: ${scale(value)} in the last of ${POINTS} measurements.`,
        details: { model, z: Math.round(z * 10) / 10 },
      },
    ];
  }

  function answersOf({ answers, outcome, model, upstream }: RequestEndEvent, monoMs: number): Finding[] {
    const found: Finding[] = [];
    for (const { timings, usage, model: id } of answers) {
      // A load, and waiting for a place, say nothing of how the model answers.
      const firstMs = timings.prefillMs;
      if (firstMs > 0) found.push(...point(id, 'first token', Math.log(firstMs), monoMs));
      const tokens = usage?.completionTokens ?? 0;
      if (tokens >= MIN_TOKENS && timings.decodeMs > 0) found.push(...point(id, 'speed', Math.log((tokens * 1000) / timings.decodeMs), monoMs));
    }
    const id = model ?? upstream;
    if (id === null) return found;
    const rate = rates(id);
    const minute = Math.floor(monoMs / MINUTE_MS);
    if (rate.minute !== minute) {
      if (rate.all > 0) found.push(...point(id, 'errors', rate.failed / rate.all, monoMs));
      Object.assign(rate, { minute, all: 0, failed: 0 });
    }
    rate.all += 1;
    if (outcome === 'engine_error' || outcome === 'upstream_error' || outcome === 'timeout') rate.failed += 1;
    return found;
  }

  return {
    take(signal, { monoMs }) {
      if (signal.kind !== 'request') return [];
      const { event } = signal;
      const tokens = event.answers.reduce((sum, { usage }) => sum + (usage === null ? 0 : usage.promptTokens - usage.cachedTokens + usage.completionTokens), 0);
      const found = answersOf(event, monoMs);
      const used = tokens > 0 && event.remoteAddress !== null ? callers(event.keyId)(tokens, monoMs) : null;
      if (used !== null)
        found.push({
          rule: 'R6',
          subject: event.keyId,
          message: `The caller ${event.keyId} uses ${Math.round(used.rate)} tokens a minute, more than ${TIMES_USUAL} times what it used to (${Math.round(used.usual)}).`,
          details: { rate: Math.round(used.rate), usual: Math.round(used.usual) },
        });
      return found;
    },
  };
}

const SERIES = {
  'first token': { said: 'The time to read a prompt', least: LEAST_LOG, scale: (value: number) => `${Math.round(Math.exp(value))} ms` },
  speed: { said: 'The speed', least: LEAST_LOG, scale: (value: number) => `${Math.exp(value).toFixed(1)} tokens/s` },
  errors: { said: 'The share of failed requests', least: LEAST_RATE, scale: (value: number) => `${Math.round(value * 100)} %` },
} as const;

/** The z of the third far value in a row; then nothing for an hour of the same. */
function createSeries(): (value: number, monoMs: number, least: number) => number | null {
  let models: { readonly often: ReturnType<typeof createEwma>; readonly rarely: ReturnType<typeof createMedian> } | null = null;
  let lastMs: number | null = null;
  let gapMs = 0;
  let far = 0;
  const latch = createLatch(HOUR_MS);
  return (value, monoMs, least) => {
    models ??= { often: createEwma(least), rarely: createMedian(least) };
    if (lastMs !== null) gapMs += 0.05 * (monoMs - lastMs - gapMs);
    lastMs = monoMs;
    const [often, rarely] = [models.often.take(value), models.rarely.take(value)];
    const z = gapMs > SPARSE_MS ? rarely : often;
    far = z !== null && Math.abs(z) > FAR ? far + 1 : 0;
    return latch(far >= POINTS, monoMs) ? z : null;
  };
}

/** Tokens a minute over the last five, against the median of the minutes of a week in which there were any. */
function createUsage(): (tokens: number, monoMs: number) => { readonly rate: number; readonly usual: number } | null {
  const now = createSlidingSum(MEAN_MINUTES * MINUTE_MS);
  const latch = createLatch(HOUR_MS);
  let minutes: { at: number; tokens: number }[] = [];
  let usual: number | null = null;
  return (tokens, monoMs) => {
    now.add(monoMs, tokens);
    const at = Math.floor(monoMs / MINUTE_MS);
    const last = minutes.at(-1);
    if (last?.at === at) last.tokens += tokens;
    else {
      if (minutes.length > WEEK_MINUTES || (minutes[0]?.at ?? at) <= at - WEEK_MINUTES)
        minutes = minutes.filter((each) => each.at > at - WEEK_MINUTES).slice(-WEEK_MINUTES);
      // Those that are compared do not count for what is usual yet.
      const known = minutes.filter((each) => each.at <= at - MEAN_MINUTES);
      if (usual === null || minutes.length % 10 === 0) usual = known.length < KNOWN_MINUTES ? null : median(known.map((each) => each.tokens));
      minutes.push({ at, tokens });
    }
    const rate = now.sum(monoMs) / MEAN_MINUTES;
    return usual !== null && latch(rate > Math.max(SMALL, TIMES_USUAL * usual), monoMs) ? { rate, usual } : null;
  };
}
