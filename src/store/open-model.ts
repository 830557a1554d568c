import { basename } from 'node:path';
import type { ModelObject } from '../contract/index.ts';
import type { FeatureVerdict, ModelFacts } from '../core/index.ts';
import { type Judgement, judge } from './judge.ts';
import { locate } from './locate.ts';
import type { StoreOptions } from './options.ts';
import { ggufVariants, variantRequired } from './variants.ts';
import { isManaged } from './workspace/sentinel.ts';

export interface OpenModelParameters {
  readonly reference: string;
  readonly signal?: AbortSignal;
}

/** One model, found and judged: what run and the server need before they load it. */
export interface OpenModel {
  readonly model: ModelObject;
  /** The files of one GGUF variant only, where the model has several. Paths in `weightFiles` are relative to `directory`. */
  readonly facts: ModelFacts;
  readonly reachable: Readonly<Record<string, FeatureVerdict>>;
  /** For machine output: never an absolute path. */
  readonly identity: { readonly name: string; readonly hash: string | null };
}

/** Errors: those of `locate`; variant_required when several GGUF files are there and none is named. */
export async function openModel(options: StoreOptions, parameters: OpenModelParameters): Promise<OpenModel> {
  const located = await locate(options, parameters.reference);
  const judgement = await judge(options, located);
  const variants = ggufVariants(judgement.view.files);
  if (judgement.detection.framework === 'GGUF' && variants.length > 1) throw variantRequired(judgement.model.name, variants);
  return { model: judgement.model, facts: judgement.facts, reachable: judgement.reachable, identity: identityOf(judgement) };
}

/** Cache: repository and snapshot; managed workspace: origin and content hash; any other: its base name. */
function identityOf({ located, model, sentinel }: Judgement): OpenModel['identity'] {
  if (located.kind === 'cache') return { name: located.name, hash: model.hash };
  const origin = isManaged(sentinel) ? (model.origin ?? null) : null;
  return origin === null ? { name: basename(located.name), hash: null } : { name: origin, hash: model.content_hash ?? null };
}
