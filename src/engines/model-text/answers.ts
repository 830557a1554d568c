import type { GenerateRequest } from '../../contract/index.ts';
import { HearthError } from '../../core/index.ts';
import {
  type AnswerGuide,
  type AnswerPlan,
  type AnswerText,
  buildTokenTrie,
  type CompiledGrammar,
  compileGrammar,
  createAnswerGuide,
  createAnswerText,
  planAnswer,
  type TokenTrie,
} from '../text/index.ts';
import { type ModelText, stopStrings } from './prepare-request.ts';

/** What one choice brings beside its sampler. */
export interface ChoiceAnswer {
  readonly answer: AnswerText;
  readonly guide: AnswerGuide | null;
  /** Raw candidates that the scores need; absent: no log probabilities are told. */
  readonly rawCandidates?: number;
}

export interface Answers {
  /** Makes, step by step, what the first constrained answer would have to wait for. */
  prepare(): Generator<undefined, void>;
  /** Reads what a request asks of its answer, and gives what each choice needs. Throws invalid_value, invalid_json_schema, unsupported_parameter. */
  plan(request: GenerateRequest, prompt: readonly number[], maxTokens: number): () => ChoiceAnswer;
}

const MAX_GRAMMARS = 32;
/** Tokens at the end of a prompt that may open the reasoning part. */
const TAIL_TOKENS = 32;
/** Tokens that a budget leaves for the answer itself. */
const LEFT_FOR_ANSWER = 256;

export function createAnswers(text: ModelText, vocabularySize: number): Answers {
  const { tokenizer, stopTokens, dialect } = text;
  const shown = new Set([...tokenizer.specialTokens].filter(([content]) => dialect.marks.includes(content)).map(([, id]) => id));
  const grammars = new Map<string, CompiledGrammar>();
  let trie: TokenTrie | undefined;
  let building: Generator<undefined, TokenTrie> | undefined;

  const none = new Uint8Array();
  const bytesOf = (id: number): Uint8Array => (stopTokens.has(id) || (tokenizer.isSpecial(id) && !shown.has(id)) ? none : tokenizer.tokenBytes(id));
  /** All of the tree, or its next part. */
  function build(all: boolean): TokenTrie | undefined {
    while (trie === undefined) {
      building ??= buildTokenTrie(vocabularySize, bytesOf);
      const { done, value } = building.next();
      if (done === true) {
        trie = value;
        building = undefined;
      } else if (!all) return undefined;
    }
    return trie;
  }
  function compiled(key: string, plan: AnswerPlan): CompiledGrammar | null {
    if (plan.grammar === null) return null;
    let grammar = grammars.get(key);
    if (grammar === undefined) {
      grammar = compileGrammar(plan.grammar, build(true)!, stopTokens);
    }
    // Last used, last forgotten.
    grammars.delete(key);
    grammars.set(key, grammar);
    if (grammars.size > MAX_GRAMMARS) grammars.delete(grammars.keys().next().value!);
    return grammar;
  }

  return {
    *prepare() {
      while (build(false) === undefined) yield;
    },

    plan(request, prompt, maxTokens) {
      const templated = request.messages !== undefined;
      if (!templated && request.tools !== undefined) throw new HearthError('invalid_value', 'Tools need messages.', { details: { param: 'tools' } });
      const tail = templated ? tokenizer.decode(prompt.slice(-TAIL_TOKENS), { skipSpecial: false }) : '';
      const { tools, format, reasoning } = request;
      const wishes = {
        ...(tools === undefined ? {} : { tools }),
        ...(format === undefined ? {} : { format }),
        ...(reasoning === undefined ? {} : { reasoning }),
      };
      const plan = planAnswer(dialect, wishes, tail);
      const reader = templated ? plan.reader : { reasoning: null, tools: null };
      const grammar = compiled(JSON.stringify([tools, format, reader.reasoning, reasoning?.budgetTokens === 0]), plan);
      const limit = reasoning?.budgetTokens;
      const close = reader.reasoning?.inside ?? dialect.reasoning[0] ?? reader.reasoning?.pairs[0];
      const budget =
        close === undefined
          ? null
          : {
              tokens: limit === undefined ? Number.POSITIVE_INFINITY : Math.max(0, Math.min(limit, maxTokens - LEFT_FOR_ANSWER)),
              closing: () => tokenizer.encode(limit === 0 ? close.forced.trimStart() : close.forced, { special: true }),
            };
      const stops = stopStrings(request);
      return () => {
        const detokenizer = tokenizer.createDetokenizer({ skipSpecial: true, shown });
        const answer = createAnswerText(detokenizer, stops, { ...reader, ...(request.logprobs === undefined ? {} : { topLogprobs: request.logprobs }) });
        const matcher = grammar?.open() ?? null;
        const guide =
          matcher === null && budget === null
            ? null
            : createAnswerGuide({
                matcher,
                budget,
                reasoning: () => ({ tokens: answer.reasoningTokens, open: answer.inReasoning }),
                onClosed: () => answer.closedForModel(),
              });
        return { answer, guide, ...(request.logprobs === undefined ? {} : { rawCandidates: Math.max(1, request.logprobs) }) };
      };
    },
  };
}
