import type { ResidentModel } from '../contract/index.ts';
import { HearthError } from '../core/index.ts';
import type { Engine } from '../engines/index.ts';
import { type CompanionModels, factsOf } from './companions.ts';
import type { GatewaySettings } from './gateway-options.ts';
import type { GenerationConfig } from './generation-config.ts';
import type { LoadedModel } from './loaded-model.ts';
import type { ResolvedModel } from './model-source.ts';
import type { ModelPlan, ModelState } from './scheduler/scheduler-types.ts';

/** What a load request may ask of one model; the rest is the gateway's default. */
export interface ResidentPlan {
  readonly contextTokens?: number;
  readonly parallelSequences?: number;
  readonly ttlSeconds?: number | null;
  readonly pinned?: boolean;
  /** Id of the engine; absent: chosen by the rules of docs/spec/engines.md §5, or the one that has the model. */
  readonly engine?: string;
}

/** What requests of a child that is gone are told: it went by itself, or was over its limit. */
export type DeathCode = 'engine_crashed' | 'engine_killed';

/** A model that the run loop knows, with what the scheduler does not need to decide. */
export interface Resident {
  readonly key: string;
  readonly model: ResolvedModel;
  engine: Engine;
  companions: CompanionModels;
  readonly generationConfig: GenerationConfig;
  plan: ResidentPlan;
  loaded: LoadedModel | null;
  loadStartedAt: number;
  readyAt: number;
  /** Requests that wait for the engine's next event, and since when none came. A slow reader's request does not wait. */
  awaited: number;
  lastProgressAt: number;
  readonly deathListeners: Set<(reason: string, code?: DeathCode) => void>;
  readonly stopListeners: Set<() => void>;
}

/** Options of the engine for this model, checked by its strict schema; throws engine_options_invalid. */
export function engineOptionsOf(settings: GatewaySettings, resident: Pick<Resident, 'engine' | 'plan' | 'companions'>): Readonly<Record<string, unknown>> {
  const contextTokens = resident.plan.contextTokens ?? settings.contextTokens;
  const parallelSequences = resident.plan.parallelSequences ?? settings.parallelSequences;
  const options: Record<string, unknown> = {
    ...settings.engineOptions[resident.engine.id],
    ...(contextTokens === null ? {} : { contextTokens }),
    ...(parallelSequences === null ? {} : { parallelSequences }),
  };
  // A companion that this model does not have, such as itself.
  for (const option of resident.engine.modelOptions ?? []) if (resident.companions[option] === undefined) delete options[option];
  const parsed = resident.engine.optionsSchema.safeParse(options);
  if (parsed.success) return parsed.data as Readonly<Record<string, unknown>>;
  const issue = parsed.error.issues[0];
  throw new HearthError(
    'engine_options_invalid',
    `Option ${issue?.path.join('.') ?? ''} of the engine ${resident.engine.id}: ${issue?.message ?? 'not valid'}.`,
  );
}

export function schedulerPlan(settings: GatewaySettings, resident: Resident): ModelPlan {
  const estimate = resident.engine.estimate(resident.model.facts, engineOptionsOf(settings, resident), factsOf(resident.companions));
  const ttlSeconds = resident.plan.ttlSeconds === undefined ? settings.ttlSeconds : resident.plan.ttlSeconds;
  return {
    estimateBytes: estimate.weightsBytes + estimate.kvPoolBytes + estimate.computeBytes + estimate.processBytes,
    ttlMs: ttlSeconds === null ? null : ttlSeconds * 1000,
    pinned: resident.plan.pinned ?? false,
  };
}

export function describeResident(resident: Resident, state: Readonly<ModelState>, monotonicMs: number, nowMs: number): ResidentModel {
  const { loaded } = resident;
  const phase = state.phase === 'ready' && state.running.size > 0 ? 'busy' : state.phase;
  const expires =
    state.idleSinceMs !== null && state.plan.ttlMs !== null && !state.plan.pinned ? nowMs + state.idleSinceMs + state.plan.ttlMs - monotonicMs : null;
  return {
    id: resident.model.id,
    hash: resident.model.hash,
    state: phase,
    engine: resident.engine.id,
    version: loaded?.report.version ?? null,
    device: loaded?.report.device ?? null,
    contextTokens: loaded?.report.contextTokens ?? null,
    parallelSequences: loaded?.report.parallelSequences ?? null,
    memoryBytes: loaded ? state.bytes : null,
    pid: loaded?.process.pid ?? null,
    inFlight: state.running.size,
    waiting: state.queue.length,
    pinned: state.plan.pinned,
    loadMs: loaded ? Math.round(loaded.report.loadMs) : null,
    weights: loaded?.report.weightsNote ?? null,
    warnings: [...(loaded?.report.warnings ?? [])],
    adapters: [...(loaded?.adapters.loaded() ?? [])],
    loadedAt: loaded ? new Date(loaded.loadedAtMs).toISOString() : null,
    expiresAt: expires === null ? null : new Date(expires).toISOString(),
    crashes: state.crashes.length,
    protection: loaded ? describeProtection(loaded) : null,
    error: state.failure ? { code: state.failure.code, message: state.failure.message } : null,
  };
}

function describeProtection({ process }: LoadedModel): ResidentModel['protection'] {
  const protection = process.protection?.();
  if (protection === undefined) return null;
  const { cage, layers, limits, held } = protection;
  const { kind, strength, detail, reason, outer } = cage;
  return { cage: kind, strength, detail, reason, outer, layers: [...layers], limits: { ...limits }, held: [...held] };
}
