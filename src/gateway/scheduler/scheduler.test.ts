import { describe, expect, test } from 'vitest';
import { HearthError } from '../../core/index.ts';
import { createScheduler } from './scheduler.ts';
import type { ModelPlan, SchedulerEvent, SchedulerOptions } from './scheduler-types.ts';

const OPTIONS: SchedulerOptions = {
  queueLimit: 4,
  ownerQueueLimit: 64,
  queueWaitMs: 60_000,
  fairnessMs: 10_000,
  memoryBudgetBytes: 100,
  restartDelayMs: 1000,
  restartDelayCapMs: 300_000,
  crashLimit: 3,
  crashWindowMs: 600_000,
  stableAfterMs: 300_000,
  breakerMs: 300_000,
  breakerCapMs: 3_600_000,
};

/** A scheduler without clock or process: effects are written down, and answered by the test. */
function setup(plans: Record<string, Partial<ModelPlan>>, options: Partial<SchedulerOptions> = {}) {
  const log: string[] = [];
  const timers = new Map<string, number>();
  let now = 0;
  const scheduler = createScheduler(
    { ...OPTIONS, ...options },
    {
      startLoad: (model) => void log.push(`load ${model}`),
      stopModel: (model, force) => void log.push(`${force ? 'kill' : 'stop'} ${model}`),
      grant(waiter) {
        log.push(`grant ${waiter}`);
        return true;
      },
      reject: (waiter, error) => void log.push(`reject ${waiter} ${error.code}`),
      setTimer: (key, delayMs) => void timers.set(key, now + delayMs),
      clearTimer: (key) => void timers.delete(key),
    },
  );
  for (const [model, plan] of Object.entries(plans)) scheduler.plan(model, { estimateBytes: 10, ttlMs: 300_000, pinned: false, ...plan });
  return {
    scheduler,
    timers,
    /** What the events caused, since the last call. */
    tell(...events: SchedulerEvent[]): string[] {
      for (const event of events) scheduler.handle(event, now);
      return log.splice(0);
    },
    /** Goes on to a later time, firing the timers that are due in between. */
    at(ms: number): string[] {
      for (const [key, due] of [...timers].sort((a, b) => a[1] - b[1])) {
        if (due > ms || !timers.delete(key)) continue;
        now = due;
        scheduler.handle({ kind: 'timer', key }, now);
      }
      now = ms;
      return log.splice(0);
    },
  };
}

const request = (waiter: number, model: string, sequences = 1): SchedulerEvent => ({ kind: 'request', waiter, model, sequences });
const loaded = (model: string, bytes = 10, parallelSequences = 2): SchedulerEvent => ({ kind: 'loaded', model, parallelSequences, bytes });
const released = (waiter: number): SchedulerEvent => ({ kind: 'released', waiter });

describe('loads', () => {
  test('[serving V57] a hundred requests for a cold model cause one load, and all are granted as places come free', () => {
    const { tell } = setup({ a: {} }, { queueLimit: 1000 });
    const waiters = Array.from({ length: 100 }, (_, index) => index + 1);
    expect(tell(...waiters.map((waiter) => request(waiter, 'a')))).toEqual(['load a']);
    expect(tell(loaded('a', 10, 4))).toEqual(['grant 1', 'grant 2', 'grant 3', 'grant 4']);
    const granted = waiters.flatMap((waiter) => tell(released(waiter)));
    expect(granted).toEqual(waiters.slice(4).map((waiter) => `grant ${waiter}`));
  });

  test('[serving V58] a waiter that leaves before its load began causes no load and no eviction; a load that began completes', () => {
    const { tell, scheduler } = setup({ a: { estimateBytes: 80 }, b: { estimateBytes: 80 } });
    tell(request(1, 'a'), loaded('a', 80));
    // a is busy and leaves no room.
    expect(tell(request(2, 'b'))).toEqual([]);
    expect(tell({ kind: 'waiter-gone', waiter: 2 }, released(1))).toEqual([]);
    expect(scheduler.state('a')?.phase).toBe('ready');
    expect(scheduler.state('b')?.phase).toBe('unloaded');

    const begun = setup({ c: {} });
    expect(begun.tell(request(3, 'c'), { kind: 'waiter-gone', waiter: 3 })).toEqual(['load c']);
    expect(begun.tell(loaded('c'), request(4, 'c'))).toEqual(['grant 4']);
  });

  test('a failed load is told to all who wait, kept during the back-off, and tried again after it', () => {
    const { tell, at, scheduler } = setup({ a: {} });
    const error = new HearthError('model_load_failed', 'no');
    expect(tell(request(1, 'a'), request(2, 'a'), { kind: 'load-failed', model: 'a', error, crashed: false })).toEqual([
      'load a',
      'reject 1 model_load_failed',
      'reject 2 model_load_failed',
    ]);
    expect(tell(request(3, 'a'))).toEqual(['reject 3 model_load_failed']);
    expect(scheduler.state('a')?.failure).toBe(error);
    at(1000);
    expect(tell(request(4, 'a'))).toEqual(['load a']);
    tell({ kind: 'load-failed', model: 'a', error, crashed: false });
    at(2500);
    expect(tell(request(5, 'a'))).toEqual(['reject 5 model_load_failed']);
    at(3000);
    expect(tell(request(6, 'a'))).toEqual(['load a']);
  });
});

describe('memory', () => {
  test('an idle model makes room, and its unload is complete before the load begins', () => {
    const { tell, at } = setup({ a: { estimateBytes: 60 }, b: { estimateBytes: 60 } });
    tell(request(1, 'a'), loaded('a', 60), released(1));
    expect(tell(request(2, 'b'))).toEqual(['stop a']);
    expect(tell(request(3, 'a'))).toEqual([]);
    expect(tell({ kind: 'stopped', model: 'a' })).toEqual(['load b']);
    // The next swap waits until fairnessMs after this one, so that models that are asked for in turn do not push each other out with every request.
    expect(tell(loaded('b', 60), released(2))).toEqual(['grant 2']);
    expect(at(9_999)).toEqual([]);
    expect(at(10_000)).toEqual(['stop b']);
    expect(tell({ kind: 'stopped', model: 'b' })).toEqual(['load a']);
  });

  test('what adapters add to a loaded model counts in the budget, and what they give back too', () => {
    const { tell } = setup({ a: { pinned: true }, b: { estimateBytes: 55 } });
    tell(request(1, 'a'), loaded('a', 30), { kind: 'resized', model: 'a', bytes: 50 });
    expect(tell(request(2, 'b'))).toEqual([]);
    expect(tell({ kind: 'resized', model: 'a', bytes: 40 })).toEqual(['load b']);
  });

  test('[serving V53] eviction goes by measured bytes, least recently used first, and spares pinned and busy models', () => {
    const { tell, at } = setup({
      small: { estimateBytes: 40 },
      pinned: { estimateBytes: 20, pinned: true },
      busy: { estimateBytes: 20 },
      next: { estimateBytes: 40 },
    });
    // Estimated at 40, measured at 10.
    tell(request(1, 'small'), loaded('small', 10), released(1));
    at(10);
    tell(request(2, 'pinned'), loaded('pinned', 20), released(2));
    at(20);
    expect(tell(request(3, 'busy'), loaded('busy', 20))).toEqual(['load busy', 'grant 3']);
    // 50 of 100 are measured: it fits without an eviction, which by estimates it would not.
    expect(tell(request(4, 'next'))).toEqual(['load next']);
    tell(loaded('next', 45), released(4));
    at(30);
    tell({ kind: 'unload', model: 'next', force: false }, { kind: 'stopped', model: 'next' });
    const bigger = setup({ old: {}, used: {}, pinned: { pinned: true }, busy: {}, big: { estimateBytes: 65 } });
    for (const [index, model] of ['old', 'used', 'pinned', 'busy'].entries()) {
      bigger.at(index * 10);
      bigger.tell(request(index + 1, model), loaded(model, 20));
      if (model !== 'busy') bigger.tell(released(index + 1));
    }
    // 20 free; 65 wanted: old and used would give 60, and the others may not be taken.
    expect(bigger.tell(request(9, 'big'))).toEqual([]);
    expect(bigger.tell(released(4))).toEqual(['stop busy', 'stop used', 'stop old']);
  });

  test('a model larger than the whole budget is refused at once', () => {
    const { tell } = setup({ huge: { estimateBytes: 101 } });
    expect(tell(request(1, 'huge'))).toEqual(['reject 1 insufficient_memory']);
  });

  test('under constant load a waiting model gets its turn after fairnessMs, with one swap', () => {
    const { tell, at } = setup({ a: { estimateBytes: 80 }, b: { estimateBytes: 80 } }, { queueLimit: 100 });
    tell(request(1, 'a'), loaded('a', 80, 1));
    expect(tell(request(2, 'a'), request(100, 'b'), request(101, 'b'))).toEqual([]);
    at(5000);
    expect(tell(released(1), request(3, 'a'))).toEqual(['grant 2']);
    at(10_000);
    // b has waited its time: a admits nobody, its running request ends, then the swap.
    expect(tell(released(2))).toEqual(['stop a']);
    expect(tell({ kind: 'stopped', model: 'a' }, loaded('b', 80, 1))).toEqual(['load b', 'grant 100']);
    expect(tell(released(100))).toEqual(['grant 101']);
    expect(tell(released(101))).toEqual([]);
    expect(at(20_000)).toEqual(['stop b']);
    expect(tell({ kind: 'stopped', model: 'b' })).toEqual(['load a']);
  });
});

describe('queues', () => {
  test('places are given in order of arrival, and one that needs several waits for them without being overtaken', () => {
    const { tell } = setup({ a: {} });
    tell(request(1, 'a'), loaded('a', 10, 3));
    expect(tell(request(2, 'a', 3), request(3, 'a'))).toEqual([]);
    expect(tell(released(1))).toEqual(['grant 2']);
    expect(tell(released(2))).toEqual(['grant 3']);
    // More than the model has: alone, rather than never.
    expect(tell(request(4, 'a', 9))).toEqual([]);
    expect(tell(released(3))).toEqual(['grant 4']);
  });

  test('the queue has a limit and a longest wait', () => {
    const { tell, at } = setup({ a: {} });
    tell(request(1, 'a'), request(2, 'a'), request(3, 'a'), request(4, 'a'));
    expect(tell(request(5, 'a'))).toEqual(['reject 5 queue_full']);
    expect(at(60_000)).toEqual([1, 2, 3, 4].map((waiter) => `reject ${waiter} queue_timeout`));
    // Who orders a load waits as long as it takes.
    tell({ kind: 'request', waiter: 6, model: 'a', sequences: 0, patient: true });
    expect(at(600_000)).toEqual([]);
    expect(tell(loaded('a'))).toEqual(['grant 6']);
  });

  test('draining rejects who waits and who comes, and leaves who runs', () => {
    const { tell } = setup({ a: {} });
    tell(request(1, 'a'), loaded('a', 10, 1), request(2, 'a'));
    expect(tell({ kind: 'drain' }, request(3, 'a'))).toEqual(['reject 2 draining', 'reject 3 draining']);
  });
});

describe('time and crashes', () => {
  test('an idle model is unloaded after its time, a used or pinned one is not, and a request in the unload waits for the reload', () => {
    const { tell, at } = setup({ a: { ttlMs: 1000 }, kept: { ttlMs: 1000, pinned: true }, forever: { ttlMs: null } });
    for (const [index, model] of ['kept', 'forever', 'a'].entries()) tell(request(index + 1, model), loaded(model));
    tell(released(1), released(2));
    expect(at(5000)).toEqual([]);
    tell(released(3));
    expect(at(5999)).toEqual([]);
    tell(request(4, 'a'), released(4));
    expect(at(6500)).toEqual([]);
    expect(at(7000)).toEqual(['stop a']);
    expect(tell(request(5, 'a'))).toEqual([]);
    expect(tell({ kind: 'stopped', model: 'a' }, loaded('a'))).toEqual(['load a', 'grant 5']);
  });

  test('three crashes in ten minutes open the breaker, which doubles; crashes further apart do not', () => {
    const { tell, at, scheduler } = setup({ a: {} });
    let waiter = 0;
    const crash = (): string[] => {
      waiter += 1;
      return tell(request(waiter, 'a'), loaded('a'), released(waiter), { kind: 'exited', model: 'a' });
    };
    crash();
    at(400_000);
    crash();
    at(800_000);
    crash();
    expect(scheduler.state('a')?.breakerUntilMs).toBe(0);
    at(810_000);
    crash();
    expect(tell(request(50, 'a'))).toEqual(['reject 50 breaker_open']);
    expect(scheduler.state('a')?.breakerUntilMs).toBe(810_000 + 300_000);
    at(1_110_000);
    expect(tell(request(51, 'a'))).toEqual(['load a']);
    tell(loaded('a'), released(51), { kind: 'exited', model: 'a' });
    expect(scheduler.state('a')?.breakerUntilMs).toBe(1_110_000 + 600_000);
    at(1_710_000);
    crash();
    expect(scheduler.state('a')?.breakerUntilMs).toBe(1_710_000 + 1_200_000);
    // A long healthy run ends the loop: the next crash counts as the first one.
    at(3_000_000);
    tell(request(60, 'a'), loaded('a'), released(60));
    at(3_299_000);
    tell(request(61, 'a'), released(61));
    at(3_301_000);
    tell({ kind: 'exited', model: 'a' });
    at(3_302_000);
    expect(tell(request(62, 'a'))).toEqual(['load a']);
  });

  test('who waits when the child dies is served by the next one, after the restart delay', () => {
    const { tell, at } = setup({ a: {} });
    tell(request(1, 'a'), loaded('a', 10, 1), request(2, 'a'));
    expect(tell({ kind: 'exited', model: 'a' }, released(1))).toEqual([]);
    expect(at(999)).toEqual([]);
    expect(at(1000)).toEqual(['load a']);
    expect(tell(loaded('a', 10, 1))).toEqual(['grant 2']);
  });

  test('an unload waits for running requests unless it is forced', () => {
    const { tell } = setup({ a: {} });
    tell(request(1, 'a'), loaded('a', 10, 1), request(2, 'a'));
    expect(tell({ kind: 'unload', model: 'a', force: false })).toEqual([]);
    expect(tell(released(1))).toEqual(['stop a']);
    expect(tell({ kind: 'stopped', model: 'a' }, loaded('a', 10, 1))).toEqual(['load a', 'grant 2']);
    expect(tell({ kind: 'unload', model: 'a', force: true })).toEqual(['kill a']);
  });
});
