import type { ModelObject } from '../contract/index.ts';
import type { FeatureVerdict, ModelFacts } from '../core/index.ts';
import { judge } from './judge.ts';
import { locate } from './locate.ts';
import type { StoreOptions } from './options.ts';
import { ggufVariants, variantRequired } from './variants.ts';

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
  const origin = judgement.model.origin ?? null;
  const base = located.name.slice(located.name.lastIndexOf('/') + 1);
  const identity =
    located.kind === 'cache'
      ? { name: located.name, hash: judgement.model.hash }
      : { name: origin ?? base, hash: origin === null ? null : (judgement.model.content_hash ?? null) };
  return { model: judgement.model, facts: judgement.facts, reachable: judgement.reachable, identity };
}
