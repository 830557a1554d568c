import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { ModelObject } from '../contract/index.ts';
import type { FeatureVerdict, ModelFacts } from '../core/index.ts';
import { type Detection, detectModel } from './detect/detect.ts';
import { judgeRuntime } from './detect/runtime-gate.ts';
import { checkHealth, type HealthVerdict, unhealthy } from './health/check-health.ts';
import { isObject } from './health/json-value.ts';
import type { Located } from './locate.ts';
import { type JudgedFields, modelObject, type OpenedModel, openLocated } from './model-object.ts';
import type { ModelView } from './model-view.ts';
import type { StoreOptions } from './options.ts';
import type { Sentinel } from './workspace/sentinel.ts';

/** Everything that the store knows of one model: the same for list, show, run and the server. */
export interface Judgement {
  readonly located: Located;
  readonly view: ModelView;
  readonly health: HealthVerdict;
  readonly detection: Detection;
  readonly facts: ModelFacts;
  readonly reachable: Readonly<Record<string, FeatureVerdict>>;
  readonly model: ModelObject;
  /** The sentinel of a workspace, or null. */
  readonly sentinel: Sentinel | null;
}

export async function judge(options: Pick<StoreOptions, 'runtimeProbe'>, located: Located, known?: OpenedModel): Promise<Judgement> {
  const opened = known ?? (await openLocated(located));
  const { view, sentinel, nameHint } = opened;
  const health =
    located.kind === 'cache' && located.snapshot === null ? unhealthy(await missingSnapshotReason(located.repository.directory)) : await checkHealth(view);
  const detection = await detectModel(view, nameHint);
  const runtime = await judgeRuntime({ view, detection, health, probe: options.runtimeProbe });
  const { quantization } = detection.facts.config;
  const judged: JudgedFields = {
    framework: detection.framework,
    model_type: detection.modelType,
    capabilities: [...detection.capabilities],
    health: health.healthy ? 'healthy' : 'unhealthy',
    runtime_compatible: runtime.compatible,
    reason: runtime.reason,
    quantization: isObject(quantization) ? quantization : null,
  };
  const model = await modelObject({ located, view, sentinel, judged });
  return { located, view, health, detection, facts: detection.facts, reachable: runtime.reachable, model, sentinel };
}

async function missingSnapshotReason(repository: string): Promise<string> {
  try {
    await stat(join(repository, 'snapshots'));
    return 'No snapshots found';
  } catch {
    return 'No snapshots directory found';
  }
}
