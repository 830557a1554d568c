import type { ModelPlan, ModelState } from './scheduler-types.ts';

/** A model that nobody asked for yet. */
export const newModel = (key: string, plan: ModelPlan): ModelState => ({
  key,
  plan,
  phase: 'unloaded',
  bytes: 0,
  capacity: 1,
  queue: [],
  turns: new Map(),
  running: new Map(),
  since: new Map(),
  meanServiceMs: 0,
  lastUsedMs: 0,
  idleSinceMs: null,
  crashes: [],
  failures: 0,
  failure: null,
  retryAtMs: 0,
  breakerUntilMs: 0,
  breakerTrips: 0,
  readyAtMs: null,
  unloadWanted: false,
  lacksMemory: false,
});
