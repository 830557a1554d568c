import type { MemoryLevel, UnloadReason } from '../../contract/index.ts';
import { HearthError } from '../../core/index.ts';
import { planEviction } from '../eviction/plan-eviction.ts';
import { backOffMs, breakerError, noteCrash } from './crash-loop.ts';
import { gigabytes, guardBytes, memoryError, newestWaiting, waitedTooLong } from './memory-limits.ts';
import { newModel } from './new-model.ts';
import type { Effects, ModelPlan, ModelState, SchedulerEvent, SchedulerOptions, Waiting } from './scheduler-types.ts';
import { nextTurn, retryAfterSeconds } from './turns.ts';

export interface Scheduler {
  /** Tells what a model needs, before its first request and when a load request changes it. */
  plan(model: string, plan: ModelPlan): void;
  /** `nowMs` is of a clock that never goes back. Decides at once; effects are called before it returns. */
  handle(event: SchedulerEvent, nowMs: number): void;
  state(model: string): Readonly<ModelState> | undefined;
  models(): Iterable<Readonly<ModelState>>;
  /** Rises with every event. */
  readonly sequence: number;
}

/**
 * The run loop's decisions: who is loaded, who is unloaded, who may enter (docs/spec/serving.md §5). It holds no clock,
 * no process and no promise: events come in one at a time, decisions leave through Effects.
 */
export function createScheduler(options: SchedulerOptions, effects: Effects): Scheduler {
  const models = new Map<string, ModelState>();
  const owner = new Map<number, ModelState>();
  const guard = guardBytes(options.memoryBudgetBytes);
  let draining = false;
  let level: MemoryLevel = 'normal';
  let lastSwapMs = Number.NEGATIVE_INFINITY;
  let madeRoomFor: string | null = null;
  let lookAt = Number.POSITIVE_INFINITY;
  let sequence = 0;
  let turn = 0;

  function handle(event: SchedulerEvent, now: number): void {
    sequence += 1;
    switch (event.kind) {
      case 'request':
        onRequest(event, now);
        return;
      case 'waiter-gone':
        onWaiterGone(event.waiter, now);
        return;
      case 'released':
        onReleased(event.waiter, now);
        return;
      case 'timer':
        onTimer(event.key, now);
        return;
      case 'memory':
        onMemory(event.level, now);
        return;
      case 'drain':
        draining = true;
        for (const model of models.values()) rejectAll(model, () => new HearthError('draining', 'The server is stopping and takes no new requests.'));
        return;
    }
    const model = models.get(event.model);
    if (!model) return;
    switch (event.kind) {
      case 'loaded':
        Object.assign(model, {
          phase: 'ready',
          capacity: Math.max(1, event.parallelSequences),
          bytes: event.bytes,
          failure: null,
          failures: 0,
          lastUsedMs: now,
          readyAtMs: now,
        });
        pump(model, now);
        startIdle(model, now);
        return;
      case 'resized':
        if (model.phase !== 'ready') return;
        model.bytes = event.bytes;
        pumpAll(now);
        return;
      case 'load-failed':
        onLoadFailed(model, event.error, event.crashed, now);
        return;
      case 'exited':
        onExited(model, now);
        return;
      case 'stopped':
        Object.assign(model, { phase: 'unloaded', bytes: 0, unloadWanted: false });
        pumpAll(now);
        return;
      case 'unload':
        onUnload(model, event.force, now);
        return;
    }
  }

  /** Soft: nothing more is loaded. Hard: nobody is admitted either, idle models go, and the newest of those who wait are turned away. */
  function onMemory(next: MemoryLevel, now: number): void {
    level = next;
    if (level === 'hard') {
      for (const model of models.values()) if (isIdle(model) && !model.plan.pinned) beginUnload(model, false, 'pressure');
      for (const { model, waiting } of newestWaiting(models.values())) {
        dequeue(models.get(model)!, waiting.waiter);
        effects.reject(waiting.waiter, memoryError('The machine has no memory left for another request.'));
      }
      return;
    }
    pumpAll(now);
  }

  function onRequest(event: Extract<SchedulerEvent, { kind: 'request' }>, now: number): void {
    const model = models.get(event.model);
    if (!model) throw new Error(`plan() was not called for ${event.model}`);
    const { owner: whose = 'owner', priority = 'interactive' } = event;
    const refusal = refuse(model, whose, now);
    if (refusal) {
      effects.reject(event.waiter, refusal);
      return;
    }
    // Where nobody waits, nobody has had more turns than another.
    if (model.queue.length === 0) model.turns.clear();
    model.queue.push({ waiter: event.waiter, sequences: event.sequences, sinceMs: now, owner: whose, priority });
    owner.set(event.waiter, model);
    effects.clearTimer(`ttl:${model.key}`);
    model.idleSinceMs = null;
    if (!event.patient) effects.setTimer(`queue:${event.waiter}`, options.queueWaitMs);
    pump(model, now);
  }

  function refuse(model: ModelState, whose: string, now: number): HearthError | null {
    if (draining) return new HearthError('draining', 'The server is stopping and takes no new requests.');
    if (now < model.breakerUntilMs) return breakerError(model, options, now);
    if (model.phase === 'failed' && model.failure && now < model.retryAtMs) return model.failure;
    let waiting = 0;
    let own = 0;
    for (const { queue } of models.values()) {
      waiting += queue.length;
      for (const { owner: other } of queue) if (other === whose) own += 1;
    }
    const retryAfterS = retryAfterSeconds(model.queue.length, model.meanServiceMs, model.capacity);
    if (!KEYLESS.has(whose) && own >= options.ownerQueueLimit) {
      return new HearthError('rate_limit_exceeded', `${own} requests of this key are waiting already, as many as one key may have.`, {
        details: { retryAfterS },
      });
    }
    if (waiting < options.queueLimit) return null;
    return new HearthError('queue_full', `${waiting} requests are waiting already, as many as the queue takes.`, { details: { retryAfterS } });
  }

  function onWaiterGone(waiter: number, now: number): void {
    const model = owner.get(waiter);
    if (!model) return;
    dequeue(model, waiter);
    pumpAll(now);
    startIdle(model, now);
  }

  function dequeue(model: ModelState, waiter: number): void {
    model.queue = model.queue.filter((waiting) => waiting.waiter !== waiter);
    owner.delete(waiter);
    effects.clearTimer(`queue:${waiter}`);
  }

  function rejectAll(model: ModelState, error: () => HearthError): void {
    for (const { waiter } of [...model.queue]) {
      dequeue(model, waiter);
      effects.reject(waiter, error());
    }
  }

  function onReleased(waiter: number, now: number): void {
    const model = owner.get(waiter);
    if (!model?.running.delete(waiter)) return;
    owner.delete(waiter);
    const took = now - (model.since.get(waiter) ?? now);
    model.since.delete(waiter);
    model.meanServiceMs = model.meanServiceMs === 0 ? took : 0.9 * model.meanServiceMs + 0.1 * took;
    model.lastUsedMs = now;
    pumpAll(now);
    startIdle(model, now);
  }

  function startIdle(model: ModelState, now: number): void {
    // Those who still wait are served by the next load.
    if (model.phase === 'ready' && model.unloadWanted && model.running.size === 0) {
      beginUnload(model, false, 'admin');
      return;
    }
    if (!isIdle(model)) return;
    model.idleSinceMs = now;
    if (!model.plan.pinned && model.plan.ttlMs !== null) effects.setTimer(`ttl:${model.key}`, model.plan.ttlMs);
  }

  function onTimer(key: string, now: number): void {
    const [kind, ...rest] = key.split(':');
    const target = rest.join(':');
    if (kind === 'queue') {
      const waiter = Number(target);
      const model = owner.get(waiter);
      if (!model?.queue.some((waiting) => waiting.waiter === waiter)) return;
      dequeue(model, waiter);
      effects.reject(waiter, waitedTooLong(model, options.queueWaitMs));
      startIdle(model, now);
      return;
    }
    const model = models.get(target);
    if (kind === 'ttl' && model && isIdle(model) && !model.plan.pinned) beginUnload(model, false, 'ttl');
    if (kind === 'retry' && model) pump(model, now);
    if (kind !== 'fairness') return;
    lookAt = Number.POSITIVE_INFINITY;
    pumpAll(now);
  }

  function onLoadFailed(model: ModelState, error: HearthError, crashed: boolean, now: number): void {
    model.failures += 1;
    Object.assign(model, { phase: 'failed', bytes: 0, failure: error, retryAtMs: now + backOffMs(options, model.failures) });
    if (crashed) noteCrash(model, options, now);
    rejectAll(model, () => error);
    pumpAll(now);
  }

  function onExited(model: ModelState, now: number): void {
    if (model.phase !== 'ready' && model.phase !== 'unloading') return;
    const wanted = model.phase === 'unloading';
    Object.assign(model, { phase: 'unloaded', bytes: 0, unloadWanted: false });
    effects.clearTimer(`ttl:${model.key}`);
    if (!wanted) {
      noteCrash(model, options, now);
      model.retryAtMs = now + backOffMs(options, Math.max(1, model.crashes.length));
    }
    if (now < model.breakerUntilMs) rejectAll(model, () => breakerError(model, options, now));
    pumpAll(now);
  }

  function onUnload(model: ModelState, force: boolean, now: number): void {
    if (model.phase === 'loading') model.unloadWanted = true;
    if (model.phase !== 'ready') return;
    if (force || model.running.size === 0) {
      beginUnload(model, force, 'admin');
      return;
    }
    model.unloadWanted = true;
    startIdle(model, now);
  }

  function beginUnload(model: ModelState, force: boolean, reason: UnloadReason): void {
    model.phase = 'unloading';
    model.idleSinceMs = null;
    effects.clearTimer(`ttl:${model.key}`);
    effects.stopModel(model.key, force, reason);
  }

  function pumpAll(now: number): void {
    // The model that others were unloaded for goes first, then the one whose oldest waiter waited longest: memory is given in order of arrival.
    const rank = ({ key }: ModelState) => (key === madeRoomFor ? 0 : 1);
    const waiting = [...models.values()].filter(({ queue }) => queue.length > 0);
    for (const model of waiting.sort((a, b) => rank(a) - rank(b) || a.queue[0]!.sinceMs - b.queue[0]!.sinceMs || a.queue[0]!.waiter - b.queue[0]!.waiter))
      pump(model, now);
  }

  function pump(model: ModelState, now: number): void {
    if (model.phase === 'ready') {
      admit(model, now);
      return;
    }
    if ((model.phase === 'unloaded' || model.phase === 'failed') && model.queue.length > 0) tryLoad(model, now);
  }

  function admit(model: ModelState, now: number): void {
    if (level === 'hard' || model.unloadWanted || yieldsToOthers(model, now)) return;
    for (let head = nextTurn(model, now); head && fits(model, head); head = nextTurn(model, now)) {
      dequeue(model, head.waiter);
      if (!effects.grant(head.waiter)) continue;
      turn += 1;
      model.turns.set(head.owner, turn);
      model.running.set(head.waiter, head.sequences);
      model.since.set(head.waiter, now);
      owner.set(head.waiter, model);
      model.lastUsedMs = now;
    }
  }

  function fits(model: ModelState, head: Waiting): boolean {
    let used = 0;
    for (const sequences of model.running.values()) used += sequences;
    return used === 0 || used + head.sequences <= model.capacity;
  }

  /** After `fairnessMs` a model that found no memory stops admission to the others, whose running requests still end. */
  function yieldsToOthers(model: ModelState, now: number): boolean {
    // Who was loaded in place of another has its turn first.
    if (model.plan.pinned || now - lastSwapMs < options.fairnessMs) return false;
    for (const other of models.values()) {
      const oldest = other.queue[0];
      if (other === model || !oldest || (other.phase !== 'unloaded' && other.phase !== 'failed')) continue;
      if (now < other.retryAtMs || other.plan.estimateBytes <= freeBytes()) continue;
      if (now - oldest.sinceMs >= options.fairnessMs) return true;
    }
    return false;
  }

  /** Whether somebody's turn has come is asked then at the latest, however many others come meanwhile. */
  function lookAgain(afterMs: number, now: number): void {
    const due = now + Math.ceil(afterMs);
    if (due >= lookAt) return;
    lookAt = due;
    effects.setTimer('fairness', Math.ceil(afterMs));
  }

  function freeBytes(): number {
    let used = 0;
    for (const { bytes } of models.values()) used += bytes;
    return guard - used;
  }

  function tryLoad(model: ModelState, now: number): void {
    if (now < model.retryAtMs) {
      effects.setTimer(`retry:${model.key}`, model.retryAtMs - now);
      return;
    }
    const needed = model.plan.estimateBytes;
    if (needed > guard) {
      const message = `The model needs about ${gigabytes(needed)}; models may take ${gigabytes(guard)} together.`;
      rejectAll(model, () => new HearthError('insufficient_memory', message));
      return;
    }
    const residents = [...models.values()]
      .filter(({ phase }) => phase === 'ready')
      .map((other) => ({
        key: other.key,
        bytes: other.bytes,
        lastUsedMs: other.lastUsedMs,
        pinned: other.plan.pinned,
        // A model whose own queue waits is about to be used, unless it has to yield.
        idle: isIdle(other) || (other.running.size === 0 && yieldsToOthers(other, now)),
      }));
    const leaving = [...models.values()].filter(({ phase }) => phase === 'unloading').reduce((sum, { bytes }) => sum + bytes, 0);
    const victims = planEviction({ neededBytes: needed, freeBytes: freeBytes() + leaving, residents });
    model.lacksMemory = true;
    if (victims === null) {
      lookAgain(options.fairnessMs, now);
      return;
    }
    // Models that are asked for in turn must not push each other out with every request.
    if (victims.length > 0 && now - lastSwapMs < options.fairnessMs) {
      lookAgain(options.fairnessMs - (now - lastSwapMs), now);
      return;
    }
    if (victims.length > 0) {
      lastSwapMs = now;
      madeRoomFor = model.key;
    }
    for (const key of victims) beginUnload(models.get(key)!, false, 'evicted');
    // An unload is complete before the load begins: `stopped` comes back here.
    if (freeBytes() < needed || level !== 'normal') return;
    model.lacksMemory = false;
    if (madeRoomFor === model.key) madeRoomFor = null;
    model.phase = 'loading';
    model.bytes = needed;
    effects.startLoad(model.key);
  }

  return {
    handle,
    plan(key, plan) {
      const known = models.get(key);
      if (known) known.plan = plan;
      else models.set(key, newModel(key, plan));
    },
    state: (key) => models.get(key),
    models: () => models.values(),
    get sequence() {
      return sequence;
    },
  };
}

/** Who asks without an API key has no share of the queue of his own to keep to. */
const KEYLESS = new Set(['owner', 'local']);

const isIdle = (model: ModelState): boolean => model.phase === 'ready' && model.queue.length === 0 && model.running.size === 0;
