import { HearthError } from '../../../core/index.ts';
import { type Ember, loadEmber } from '../../../ember/index.ts';
import { loadTokenizer, type Tokenizer } from '../../../formats/index.ts';
import { createDraftModel } from './draft-model.ts';
import { createPromptLookup, type Drafter, firstOf } from './drafts.ts';
import type { EmberEngineOptions } from './options.ts';

const DRAFT_BATCH = 128;

interface Target {
  readonly ranks: number;
  readonly contextTokens: number;
  readonly sequences: number;
  readonly tokenizer: Tokenizer;
  readonly vocabularySize: number;
  readonly recurrent: boolean;
}

/** What guesses by these options, or null; with a draft model, its own weights and cache. Throws model_load_failed for another vocabulary. */
export async function openDrafter(options: EmberEngineOptions, target: Target): Promise<{ readonly drafter: Drafter | null; readonly draft: Ember | null }> {
  // A wrong guess could not be taken back.
  if (target.recurrent) return { drafter: null, draft: null };
  const drafters: Drafter[] = options.promptLookup === true ? [createPromptLookup()] : [];
  if (options.draftModel === undefined) return { drafter: drafters[0] ?? null, draft: null };
  refuseOtherVocabulary(target.tokenizer, await loadTokenizer(options.draftModel));
  const draft = await loadEmber({
    directory: options.draftModel,
    ranks: target.ranks,
    activations: options.activations ?? 'mixed',
    contextTokens: target.contextTokens,
    batchTokens: DRAFT_BATCH,
    sequences: target.sequences,
  });
  if (draft.recurrent) {
    await draft[Symbol.asyncDispose]();
    throw new HearthError('not_implemented', 'A draft model that carries a state from token to token cannot be used yet.');
  }
  // Rows beyond the tokenizer's own ids are padding, of which models of one family have more or less.
  if (draft.vocabularySize > target.vocabularySize) {
    await draft[Symbol.asyncDispose]();
    throw otherVocabulary(`it has ${draft.vocabularySize} ids, and the model ${target.vocabularySize}`);
  }
  return { drafter: firstOf([...drafters, createDraftModel(draft, DRAFT_BATCH)]), draft };
}

const otherVocabulary = (how: string) => new HearthError('model_load_failed', `The draft model has another vocabulary than the model: ${how}.`);

/** Ids mean the same text in both: asked of a text with letters, digits, marks and other scripts. */
function refuseOtherVocabulary(own: Tokenizer, other: Tokenizer): void {
  const probe = 'The quick brown fox, 0123456789! Grüße 世界 🌍\n\tif (x == [1, 2]) { return "y"; }';
  const ids = (tokenizer: Tokenizer): number[] => tokenizer.encodeSegments([{ text: probe, special: false }], { addBos: false });
  if (ids(own).join() !== ids(other).join()) throw otherVocabulary('a text gives other ids');
}
