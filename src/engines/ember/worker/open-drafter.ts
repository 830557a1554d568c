import { type Ember, loadEmber } from '../../../ember/index.ts';
import { loadTokenizer, type Tokenizer } from '../../../formats/index.ts';
import { DEFAULTS } from './defaults.ts';
import { createDraftModel } from './draft-model.ts';
import { createPromptLookup, type Drafter, firstOf } from './drafts.ts';
import type { EmberEngineOptions } from './options.ts';

interface Target {
  readonly ranks: number;
  readonly contextTokens: number;
  readonly sequences: number;
  readonly tokenizer: Tokenizer;
  readonly vocabularySize: number;
  readonly recurrent: boolean;
}

export interface OpenedDrafter {
  /** What guesses by these options, or null. */
  readonly drafter: Drafter | null;
  /** The draft model: its own weights and cache. */
  readonly draft: Ember | null;
  /** Why nothing is guessed, or not by the draft model: the load is none the worse for it. */
  readonly warning?: string;
}

export async function openDrafter(options: EmberEngineOptions, target: Target): Promise<OpenedDrafter> {
  const guesses = options.promptLookup === true || options.draftModel !== undefined;
  // A wrong guess could not be taken back.
  if (target.recurrent)
    return { drafter: null, draft: null, ...(guesses ? { warning: 'Tokens are not guessed: the model carries a state from token to token.' } : {}) };
  const drafters: Drafter[] = options.promptLookup === true ? [createPromptLookup()] : [];
  const without = (reason: string): OpenedDrafter => ({
    drafter: drafters[0] ?? null,
    draft: null,
    warning: `The draft model is not used: ${reason}.`,
  });
  if (options.draftModel === undefined) return { drafter: drafters[0] ?? null, draft: null };
  if (!sameIds(target.tokenizer, await loadTokenizer(options.draftModel))) return without('it has another vocabulary than the model, a text gives other ids');
  const draft = await loadEmber({
    directory: options.draftModel,
    ranks: target.ranks,
    activations: options.activations ?? 'mixed',
    contextTokens: target.contextTokens,
    batchTokens: DEFAULTS.draftBatchTokens,
    sequences: target.sequences,
  });
  // Rows beyond the tokenizer's own ids are padding, of which models of one family have more or less.
  const problem = draft.encoder
    ? 'it gives vectors, not text'
    : draft.recurrent
      ? 'it carries a state from token to token'
      : draft.vocabularySize > target.vocabularySize
        ? `it has another vocabulary than the model, ${draft.vocabularySize} ids, where the model has ${target.vocabularySize}`
        : null;
  if (problem === null) return { drafter: firstOf([...drafters, createDraftModel(draft, DEFAULTS.draftBatchTokens)]), draft };
  await draft[Symbol.asyncDispose]();
  return without(problem);
}

/** Ids mean the same text in both: asked of a text with letters, digits, marks and other scripts. */
function sameIds(own: Tokenizer, other: Tokenizer): boolean {
  const probe = 'The quick brown fox, 0123456789! Grüße 世界 🌍\n\tif (x == [1, 2]) { return "y"; }';
  const ids = (tokenizer: Tokenizer): number[] => tokenizer.encodeSegments([{ text: probe, special: false }], { addBos: false });
  return ids(own).join() === ids(other).join();
}
