import type { MemoryLevel, ModelContent, ProductEvent, ResidentModel, UnloadReason } from '../contract/index.ts';
import { HearthError, isHearthError, toHearthError } from '../core/index.ts';
import type { OverLimit } from '../supervisor/index.ts';
import { chooseEngine } from './choose-engine.ts';
import { companionsOf, factsOf } from './companions.ts';
import type { GatewaySettings } from './gateway-options.ts';
import { readGenerationConfig } from './generation-config.ts';
import { type LoadedModel, loadModel } from './loaded-model.ts';
import { createMemoryWatch, type MemoryWatch } from './memory/memory-watch.ts';
import { modelKey } from './model-source.ts';
import { describeResident, engineOptionsOf, type Resident, schedulerPlan } from './resident.ts';
import type { Lease, RunLoop } from './run-loop-types.ts';
import { createScheduler } from './scheduler/scheduler.ts';
import type { SchedulerEvent } from './scheduler/scheduler-types.ts';
import { createThreadShares } from './thread-shares.ts';

export type { Lease, RunLoop } from './run-loop-types.ts';

/** How far a measurement may be from its estimate without a word (docs/spec/engines.md §6). */
const ESTIMATE_TOLERANCE = 0.15;

interface Waiter {
  readonly resident: Resident;
  readonly arrivedAt: number;
  readonly resolve: (lease: Lease) => void;
  readonly reject: (error: HearthError) => void;
}

/** Carries out the scheduler's decisions: the only place that starts and stops children. */
export function createRunLoop(settings: GatewaySettings): RunLoop {
  const { clock, logger } = settings;
  const residents = new Map<string, Resident>();
  const waiters = new Map<number, Waiter>();
  const timers = new Map<string, NodeJS.Timeout>();
  const loads = new Set<Promise<void>>();
  const stopping = new AbortController();
  let lastWaiter = 0;
  let lastLevel: MemoryLevel = 'normal';
  const say = (event: ProductEvent): void => settings.events.emit(event);

  const scheduler = createScheduler(settings, {
    startLoad(key) {
      const loading = load(residents.get(key)!).finally(() => loads.delete(loading));
      loads.add(loading);
    },
    stopModel: (key, force, reason) => void stop(residents.get(key)!, force, reason),
    grant,
    reject(id, error) {
      takeWaiter(id)?.reject(error);
    },
    setTimer(key, delayMs) {
      clearTimeout(timers.get(key));
      timers.set(
        key,
        setTimeout(() => {
          timers.delete(key);
          tell({ kind: 'timer', key });
        }, delayMs).unref(),
      );
    },
    clearTimer(key) {
      clearTimeout(timers.get(key));
      timers.delete(key);
    },
  });
  const shareThreads = createThreadShares();
  const tell = (event: SchedulerEvent) => {
    scheduler.handle(event, clock.monotonic());
    shareThreads([...residents.values()].flatMap(({ key, loaded }) => (loaded && (scheduler.state(key)?.running.size ?? 0) > 0 ? [loaded] : [])));
  };
  const hung = new WeakSet<LoadedModel>();
  const memory = watchMemory();
  const watch = setInterval(killHung, Math.max(20, Math.min(1000, settings.progressTimeoutMs / 3))).unref();

  function takeWaiter(id: number): Waiter | undefined {
    const waiter = waiters.get(id);
    waiters.delete(id);
    return waiter;
  }

  function grant(id: number): boolean {
    const waiter = takeWaiter(id);
    const loaded = waiter?.resident.loaded;
    if (!waiter || !loaded) return false;
    const { resident } = waiter;
    const now = clock.monotonic();
    const loadMs = Math.max(0, resident.readyAt - Math.max(waiter.arrivedAt, resident.loadStartedAt));
    let held = true;
    waiter.resolve({
      loaded,
      loadMs,
      queueMs: Math.max(0, now - waiter.arrivedAt - loadMs),
      release() {
        if (held) tell({ kind: 'released', waiter: id });
        held = false;
      },
    });
    return true;
  }

  async function load(resident: Resident): Promise<void> {
    const { key, engine, model } = resident;
    resident.loadStartedAt = clock.monotonic();
    logger.info('model-load-start', { model: model.id, engine: engine.id });
    say({ kind: 'model-load-start', model: model.id, engine: engine.id });
    try {
      const options = engineOptionsOf(settings, resident);
      let measuredBytes = 0;
      const loaded = await loadModel({
        model,
        engine,
        engineOptions: options,
        companions: resident.companions,
        onAdapterBytes(bytes) {
          resident.loaded?.process.grantMemory?.(bytes);
          tell({ kind: 'resized', model: key, bytes: measuredBytes + bytes });
        },
        supervisor: settings.supervisor,
        trust: settings.trust,
        onProgress: () => {},
        signal: stopping.signal,
      });
      resident.loaded = loaded;
      resident.readyAt = clock.monotonic();
      void loaded.session.closed.then(({ reason }) => onDeath(resident, loaded, reason));
      void loaded.process.channel.exited.then((exit) => onDeath(resident, loaded, exit.signal ? `signal ${exit.signal}` : `exit code ${exit.code}`));
      const { weightsBytes, kvBytes, computeBytes, processBytes } = loaded.report.measured;
      const durationMs = resident.readyAt - resident.loadStartedAt;
      logger.info('model-load-end', { model: model.id, engine: engine.id, loadMs: Math.round(durationMs) });
      say({ kind: 'model-load-end', model: model.id, engine: engine.id, durationMs, ...contentOf(loaded) });
      for (const warning of loaded.report.warnings ?? []) logger.warning(warning, { model: model.id });
      measuredBytes = weightsBytes + kvBytes + computeBytes + processBytes;
      // A cache that grows later has taken nothing yet.
      const later = engine.growsCache === true ? engine.estimate(model.facts, options, factsOf(resident.companions)).kvPoolBytes : 0;
      const estimateBytes = schedulerPlan(settings, resident).estimateBytes - later;
      if (Math.abs(measuredBytes / estimateBytes - 1) > ESTIMATE_TOLERANCE)
        logger.warning('the memory of a model is not what was estimated', { model: model.id, measuredBytes, estimateBytes });
      tell({ kind: 'loaded', model: key, parallelSequences: loaded.report.parallelSequences, bytes: measuredBytes });
    } catch (error) {
      const failure = isHearthError(error) ? error : toHearthError(error);
      say({ kind: 'model-load-error', model: model.id, engine: engine.id, code: stopping.signal.aborted ? 'cancelled' : failure.code });
      if (stopping.signal.aborted) logger.info('model-load-end', { model: model.id, engine: engine.id, outcome: 'cancelled' });
      else logger.error('model-load-error', { model: model.id, engine: engine.id, code: failure.code, message: failure.message });
      tell({ kind: 'load-failed', model: key, error: failure, crashed: failure.code === 'model_load_failed' });
    }
  }

  function onDeath(resident: Resident, loaded: LoadedModel, reason: string): void {
    if (resident.loaded !== loaded) return;
    resident.loaded = null;
    const expected = scheduler.state(resident.key)?.phase === 'unloading';
    const kill = loaded.process.overLimit?.() ?? null;
    if (!expected) tellCrash(resident, loaded, reason, kill);
    // A session that gave up leaves a child that must not outlive it.
    void loaded.process.stop().catch(() => {});
    for (const listener of [...resident.deathListeners]) listener(kill === null ? reason : killText(kill), kill === null ? 'engine_crashed' : 'engine_killed');
    if (expected) return;
    say({ kind: 'model-unload-end', model: resident.model.id, engine: resident.engine.id, reason: 'crash' });
    tell({ kind: 'exited', model: resident.key });
    for (const listener of [...resident.stopListeners]) listener();
  }

  function tellCrash(resident: Resident, loaded: LoadedModel, reason: string, kill: OverLimit | null): void {
    const { model, engine } = resident;
    logger.error('model-crash', { model: model.id, engine: engine.id, reason });
    if (kill) say({ kind: 'engine-kill', model: model.id, ...kill });
    say({ kind: 'engine-restart', model: model.id, reason: kill ? 'killed' : hung.has(loaded) ? 'hung' : 'crash' });
  }

  async function stop(resident: Resident, force: boolean, reason: UnloadReason): Promise<void> {
    const { loaded } = resident;
    if (loaded) {
      if (force) for (const listener of [...resident.deathListeners]) listener('the model was unloaded');
      await loaded.session.close().catch(() => {});
      await loaded.process.stop().catch(() => {});
      if (resident.loaded === loaded) resident.loaded = null;
      logger.info('model-unload-end', { model: resident.model.id, engine: resident.engine.id, reason });
      say({ kind: 'model-unload-end', model: resident.model.id, engine: resident.engine.id, reason, ...contentOf(loaded) });
    }
    if (memory && memory.level !== 'normal') await memory.check();
    tell({ kind: 'stopped', model: resident.key });
    for (const listener of [...resident.stopListeners]) listener();
  }

  /** Requests wait and no event comes: the process is ended and its requests are told; that it answers other things is no proof of life. */
  function killHung(): void {
    for (const { loaded, awaited, lastProgressAt, model } of residents.values()) {
      if (!loaded || awaited === 0 || clock.monotonic() - lastProgressAt < settings.progressTimeoutMs) continue;
      logger.error('model-hung', { model: model.id, pid: loaded.process.pid });
      hung.add(loaded);
      loaded.process.kill();
    }
  }

  /** Answers what it dropped: only models that keep evaluated prefixes have something to drop. */
  async function clearCaches(reason: 'admin' | 'pressure', only?: Resident): Promise<string[]> {
    const cleared: string[] = [];
    await Promise.all(
      (only ? [only] : [...residents.values()]).map(async ({ loaded, model }) => {
        if (!loaded || loaded.capabilities.prefixCache === 'none') return;
        if (
          !(await loaded.session.clearCache().then(
            () => true,
            () => false,
          ))
        )
          return;
        cleared.push(model.id);
        say({ kind: 'prefix-cache-clear', model: model.id, reason });
      }),
    );
    return cleared;
  }

  function watchMemory(): MemoryWatch | null {
    if (!settings.memory) return null;
    return createMemoryWatch({
      source: settings.memory,
      budgetBytes: settings.memoryBudgetBytes,
      sampleMs: settings.memorySampleMs,
      pids: () => [...residents.values()].flatMap(({ loaded }) => loaded?.process.pid ?? []),
      dropCaches: async () => void (await clearCaches('pressure')),
      onLevel(level, usedBytes, reason) {
        if (level !== lastLevel) {
          const fields = { level, usedBytes, budgetBytes: settings.memoryBudgetBytes, reason };
          logger[level === 'normal' ? 'info' : 'warning']('memory-pressure', fields);
          say({ kind: 'memory-pressure', ...fields });
        }
        lastLevel = level;
        tell({ kind: 'memory', level });
      },
    });
  }

  const describe = (resident: Resident): ResidentModel => describeResident(resident, scheduler.state(resident.key)!, clock.monotonic(), clock.now());

  return {
    async open(model, plan) {
      const key = modelKey(model);
      const known = residents.get(key);
      if (known) {
        if (plan) {
          if (plan.engine !== undefined && known.loaded === null) {
            known.engine = chooseEngine(settings.engines, model, plan.engine);
            known.companions = await companionsOf(settings, known.engine, model);
          }
          known.plan = plan;
          scheduler.plan(key, schedulerPlan(settings, known));
        }
        return known;
      }
      const generationConfig = await readGenerationConfig(model.facts.directory);
      const engine = chooseEngine(settings.engines, model, plan?.engine ?? settings.defaultEngine);
      const companions = await companionsOf(settings, engine, model);
      const raced = residents.get(key);
      if (raced) return raced;
      const resident: Resident = {
        key,
        model,
        engine,
        companions,
        generationConfig,
        plan: plan ?? {},
        loaded: null,
        loadStartedAt: 0,
        readyAt: 0,
        awaited: 0,
        lastProgressAt: 0,
        deathListeners: new Set(),
        stopListeners: new Set(),
      };
      scheduler.plan(key, schedulerPlan(settings, resident));
      residents.set(key, resident);
      return resident;
    },

    find: (key) => residents.get(key),
    residents: () => residents.values(),
    byId: (id) => [...residents.values()].find(({ model }) => model.id === id),

    acquire(resident, sequences, signal, how = {}) {
      return new Promise((resolve, reject) => {
        const gone = () => (isHearthError(signal.reason) ? signal.reason : new HearthError('client_closed_request', 'The client went away.'));
        if (signal.aborted) return reject(gone());
        lastWaiter += 1;
        const id = lastWaiter;
        const onAbort = () => {
          if (!takeWaiter(id)) return;
          tell({ kind: 'waiter-gone', waiter: id });
          reject(gone());
        };
        signal.addEventListener('abort', onAbort, { once: true });
        const settle =
          <T>(next: (value: T) => void) =>
          (value: T) => {
            signal.removeEventListener('abort', onAbort);
            next(value);
          };
        waiters.set(id, { resident, arrivedAt: clock.monotonic(), resolve: settle(resolve), reject: settle(reject) });
        const { patient = false, owner = 'owner', priority = 'interactive' } = how;
        tell({ kind: 'request', waiter: id, model: resident.key, sequences, patient, owner, priority });
      });
    },

    unload(resident, force) {
      const phase = scheduler.state(resident.key)?.phase;
      if (phase === undefined || phase === 'unloaded' || phase === 'failed') return Promise.resolve(false);
      return new Promise((resolve) => {
        const done = () => {
          resident.stopListeners.delete(done);
          resolve(true);
        };
        resident.stopListeners.add(done);
        tell({ kind: 'unload', model: resident.key, force });
      });
    },

    describe,
    snapshot: () => ({ seq: scheduler.sequence, models: [...residents.values()].map(describe) }),

    clearCaches,
    memory: () => ({
      level: lastLevel,
      budgetBytes: settings.memoryBudgetBytes,
      chargedBytes: [...scheduler.models()].reduce((sum, { bytes }) => sum + bytes, 0),
      usedBytes: memory?.usedBytes ?? null,
      bytesOf: (pid) => memory?.bytesOf(pid) ?? null,
    }),
    queue: () =>
      [...scheduler.models()].flatMap(({ key, queue }) =>
        queue.map(({ owner, priority, sequences, sinceMs }) => ({
          model: residents.get(key)!.model.id,
          owner,
          priority,
          sequences,
          waitedMs: clock.monotonic() - sinceMs,
        })),
      ),
    running: () => [...scheduler.models()].reduce((sum, { running }) => sum + running.size, 0),
    drain: () => tell({ kind: 'drain' }),

    async stopAll() {
      clearInterval(watch);
      memory?.[Symbol.dispose]();
      stopping.abort(new HearthError('draining', 'The server is stopping.'));
      for (const timer of timers.values()) clearTimeout(timer);
      timers.clear();
      await Promise.all(loads);
      await Promise.all(
        [...residents.values()].map(async (resident) => {
          const { loaded } = resident;
          if (!loaded) return;
          resident.loaded = null;
          await loaded.session.close().catch(() => {});
          await loaded.process.stop().catch(() => {});
        }),
      );
    },
  };
}

function contentOf({ admission }: LoadedModel): { readonly content?: ModelContent } {
  if (admission === null) return {};
  const { rootDigest, revision } = admission.verdict;
  return { content: { rootDigest, revision } };
}

const killText = ({ reason, limit, value }: OverLimit): string => `it went over its limit (${reason}: ${value} of ${limit})`;
