import type { Rule } from '../signal.ts';
import { createLatch, createSlidingSum, createSubjects } from '../windows.ts';

const TEN_MINUTES_MS = 600_000;
const CRASHES = 3;
/** A growth has to be seen for so long, and so often, before it is one. */
const SEEN_MS = 180_000;
const SEEN_TIMES = 6;
/** How well a straight line has to fit. */
const FIT = 0.9;

/** R7: engines that crash again and again, memory that grows to its limit, a machine that waits for memory. */
export function createEngineRules(): Rule {
  const crashes = createSubjects(() => ({ count: createSlidingSum(TEN_MINUTES_MS), loop: createLatch(TEN_MINUTES_MS) }));
  const memory = createSubjects(() => ({ points: [] as { at: number; bytes: number }[], grows: createLatch(TEN_MINUTES_MS) }));
  const pressed = createLatch(TEN_MINUTES_MS);
  return {
    take(signal, { monoMs }) {
      if (signal.kind === 'line' && (signal.line.event === 'engine.crashed' || signal.line.event === 'engine.killed')) {
        const id = signal.line.model?.id ?? 'unknown';
        const of = crashes(id);
        of.count.add(monoMs);
        const times = of.count.sum(monoMs);
        if (!of.loop(times >= CRASHES, monoMs)) return [];
        return [
          { rule: 'R7', subject: `crashes of ${id}`, message: `The engine of ${id} ended ${times} times in ten minutes.`, details: { model: id, times } },
        ];
      }
      if (signal.kind === 'pressure') {
        if (!pressed(signal.level === 'hard', monoMs)) return [];
        return [{ rule: 'R7', subject: 'memory of the machine', message: `The machine is short of memory: ${signal.reason}.` }];
      }
      if (signal.kind !== 'memory') return [];
      const { model, usedBytes, limitBytes } = signal;
      const of = memory(model);
      // A process that holds less than before may be another one.
      if ((of.points.at(-1)?.bytes ?? 0) > usedBytes * 1.2) of.points = [];
      of.points = [...of.points.filter(({ at }) => monoMs - at < TEN_MINUTES_MS), { at: monoMs, bytes: usedBytes }].slice(-120);
      const leftMs = timeToLimit(of.points, limitBytes);
      if (!of.grows(leftMs !== null && leftMs < TEN_MINUTES_MS, monoMs)) return [];
      return [
        {
          rule: 'R7',
          subject: `memory of ${model}`,
          message: `The memory of ${model} grows and reaches its limit in ${Math.max(1, Math.round(leftMs! / 60_000))} min.`,
          details: { model, usedBytes, limitBytes },
        },
      ];
    },
  };
}

/** By the straight line through the points; null where none fits or it does not rise. */
function timeToLimit(points: readonly { readonly at: number; readonly bytes: number }[], limitBytes: number): number | null {
  const [first, last] = [points[0], points.at(-1)];
  if (!first || !last || points.length < SEEN_TIMES || last.at - first.at < SEEN_MS) return null;
  const meanAt = points.reduce((sum, { at }) => sum + at, 0) / points.length;
  const meanBytes = points.reduce((sum, { bytes }) => sum + bytes, 0) / points.length;
  let [xx, xy, yy] = [0, 0, 0];
  for (const { at, bytes } of points) {
    xx += (at - meanAt) ** 2;
    xy += (at - meanAt) * (bytes - meanBytes);
    yy += (bytes - meanBytes) ** 2;
  }
  const slope = xy / xx;
  if (!(slope > 0) || xy ** 2 / (xx * yy) < FIT) return null;
  return (limitBytes - last.bytes) / slope;
}
