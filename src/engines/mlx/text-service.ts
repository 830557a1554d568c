import { randomInt } from 'node:crypto';
import type { AnswerPart, FinishReason, GenerateRequest } from '../../contract/index.ts';
import { HearthError, toHearthError } from '../../core/index.ts';
import { loadTokenizer, readAdapter } from '../../formats/index.ts';
import { adapterPath, refuseLinksOut } from '../model-text/adapter-path.ts';
import { answerRoom } from '../model-text/answer-room.ts';
import { type Answers, type ChoiceAnswer, createAnswers } from '../model-text/answers.ts';
import { createPromptEncoder, type PromptEncoder, type PromptInput } from '../model-text/encode-prompt.ts';
import { createModelText, type ModelText, promptInput, promptInputBy } from '../model-text/prepare-request.ts';
import type { RenderWork } from '../model-text/render-work.ts';
import { tokenProbability } from '../model-text/token-probability.ts';
import type { FromWorker } from '../protocol/messages.ts';
import { stepText } from '../protocol/step-text.ts';
import type { ToWorker } from '../protocol/to-worker.ts';
import type { AnswerOutput, PromptSegment } from '../text/index.ts';
import type { DrawnToken, FromMlxWorker, ToMlxWorker } from './messages.ts';
import { MLX_DEFAULTS, parseMlxOptions } from './options.ts';

export interface TextServiceOptions {
  /** View directory of the model. */
  readonly directory: string;
  /** Where adapters may be read from; null: nowhere. */
  readonly adaptersDirectory: string | null;
  /** Renders a conversation elsewhere; absent: here. */
  readonly render?: (work: RenderWork) => Promise<readonly PromptSegment[]>;
  readonly toSession: (message: FromWorker) => void;
  readonly toPython: (message: ToMlxWorker) => void;
}

export interface TextService {
  fromSession(message: ToWorker): void;
  fromPython(message: FromMlxWorker): void;
}

interface Loaded {
  readonly text: ModelText;
  readonly answers: Answers;
  readonly encoder: PromptEncoder;
  readonly vocabularySize: number;
  readonly contextTokens: number;
}

interface Choice extends ChoiceAnswer {
  /** Tokens that were taken. */
  count: number;
  ended: boolean;
}

interface Request {
  readonly promptTokens: number;
  readonly maxTokens: number;
  readonly logprobs: number | undefined;
  readonly choices: readonly Choice[];
  cachedTokens: number;
  completionTokens: number;
  reasoningTokens: number;
}

/**
 * The text side of a model whose tokens come from Python: to the session it speaks as ember's worker does, to the Python worker it gives token
 * ids and takes them. Prompts, stop strings, reasoning parts, tool calls, grammars and counts are made here (docs/spec/engines.md §3.2).
 */
export function createTextService({ directory, adaptersDirectory, render, toSession, toPython }: TextServiceOptions): TextService {
  const inputOf = async (text: ModelText, source: Parameters<typeof promptInput>[1], vocabularySize: number): Promise<PromptInput> =>
    render === undefined ? promptInput(text, source, vocabularySize) : promptInputBy(text, source, vocabularySize, render);
  const requests = new Map<number, Request>();
  /** Requests whose prompts are being tokenised. */
  const tokenising = new Set<number>();
  let loading: Promise<ModelText> | undefined;
  let loaded: Loaded | undefined;

  const refuse =
    (to: { readonly sequence: number } | { readonly id: number } | object) =>
    (error: unknown): void => {
      const { code, message, details } = toHearthError(error);
      const param = details?.['param'];
      toSession({ kind: 'error', ...to, code, message, ...(typeof param === 'string' ? { param } : {}) });
    };
  const model = (): Loaded => {
    if (loaded === undefined) throw new HearthError('model_load_failed', 'The model is not loaded.');
    return loaded;
  };

  async function finishLoad({ report, vocabularySize }: Extract<FromMlxWorker, { kind: 'ready' }>): Promise<void> {
    try {
      const text = await loading!;
      const { problem } = text.renderer;
      const { contextTokens } = report;
      loaded = {
        text,
        vocabularySize,
        contextTokens,
        answers: createAnswers(text, vocabularySize),
        encoder: createPromptEncoder(directory, text.tokenizer),
      };
      toSession({
        kind: 'ready',
        report: {
          ...report,
          tools: text.dialect.family !== null,
          reasoning: text.dialect.reasoning.length > 0,
          warnings: [...(report.warnings ?? []), ...(problem === null ? [] : [`${problem}. Plain conversation blocks are used instead.`])],
        },
      });
    } catch (error) {
      refuse({})(error);
    }
  }

  async function generate(sequence: number, request: GenerateRequest, credit: number | undefined): Promise<void> {
    const { text, encoder, vocabularySize } = model();
    tokenising.add(sequence);
    try {
      const prompt = await encoder.encode(await inputOf(text, request, vocabularySize));
      if (tokenising.has(sequence)) start(sequence, request, prompt, credit);
    } finally {
      tokenising.delete(sequence);
    }
  }

  function start(sequence: number, request: GenerateRequest, prompt: readonly number[], credit?: number): void {
    const { text, answers, vocabularySize, contextTokens } = model();
    const maxTokens = answerRoom(request, prompt, vocabularySize, contextTokens);
    const open = answers.plan(request, prompt, maxTokens);
    const choices = Array.from({ length: request.choices }, (): Choice => ({ ...open(), count: 0, ended: false }));
    const { sampling, logprobs, adapter, cacheSalt } = request;
    requests.set(sequence, {
      promptTokens: prompt.length,
      maxTokens,
      logprobs,
      choices,
      cachedTokens: 0,
      completionTokens: 0,
      reasoningTokens: 0,
    });
    const { seed, ...options } = sampling;
    toPython({
      kind: 'generate',
      sequence,
      tokens: prompt,
      choices: request.choices,
      maxTokens,
      stopTokens: [...text.stopTokens],
      sampling: options,
      seed: seed ?? randomInt(2 ** 47),
      guided: choices.some(({ guide }) => guide?.binding === true),
      ...(credit === undefined ? {} : { credit }),
      ...(logprobs === undefined ? {} : { logprobs }),
      ...(adapter === undefined ? {} : { adapter }),
      ...(cacheSalt === undefined ? {} : { salt: cacheSalt }),
    });
  }

  /** The next token of an answer: told, and perhaps the last. */
  function take(sequence: number, index: number, { id, logprob, top }: DrawnToken): void {
    const request = requests.get(sequence);
    const choice = request?.choices[index];
    if (request === undefined || choice === undefined || choice.ended) return;
    const { text } = model();
    const { answer, guide } = choice;
    choice.count++;
    request.completionTokens++;
    if (text.stopTokens.has(id)) {
      end(sequence, index, [id], 'stop', answer.flush());
      return;
    }
    const scores =
      logprob === undefined
        ? undefined
        : {
            id,
            logprob,
            bytes: text.tokenizer.tokenBytes(id),
            top: (top ?? []).map(([other, value]) => tokenProbability(text.tokenizer, other, value)),
          };
    const out = answer.push(id, scores);
    if (guide?.accept(id) === false) {
      fail(sequence);
      return;
    }
    const enough = choice.count >= request.maxTokens;
    if (out.stopString !== undefined) end(sequence, index, [id], 'stop', out, !enough);
    else if (enough || guide?.finished === true) {
      const rest = answer.flush();
      end(sequence, index, [id], guide?.finished === true ? 'stop' : 'length', { ...rest, parts: [...out.parts, ...rest.parts] }, !enough);
    } else toSession({ kind: 'step', sequence, choice: index, tokens: [id], ...stepText(out.parts) });
  }

  /** No token of the vocabulary can go on in the grammar: the answer cannot be kept, the others go on. */
  function fail(sequence: number): void {
    requests.delete(sequence);
    toPython({ kind: 'cancel', sequence });
    toSession({ kind: 'error', sequence, code: 'invalid_value', message: 'No token of this model can continue the answer that the grammar asks for.' });
  }

  /** `drop`: the Python worker does not know it yet. */
  function end(sequence: number, index: number, tokens: number[], reason: FinishReason, last: AnswerOutput, drop = false): void {
    const request = requests.get(sequence)!;
    const choice = request.choices[index]!;
    choice.ended = true;
    if (drop) toPython({ kind: 'drop', sequence, choice: index });
    const { answer } = choice;
    toSession({ kind: 'step', sequence, choice: index, tokens, ...stepText(last.parts as AnswerPart[]) });
    const stopped = last.stopString === undefined ? { reason } : { reason: 'stop' as const, stopString: last.stopString };
    const called = stopped.reason === 'stop' && answer.calls > 0 ? { ...stopped, reason: 'tool_calls' as const } : stopped;
    const { invalidToolCalls } = answer;
    toSession({ kind: 'finish', sequence, choice: index, ...called, ...(invalidToolCalls.length === 0 ? {} : { invalidToolCalls: [...invalidToolCalls] }) });
    request.reasoningTokens += answer.reasoningTokens;
    if (request.choices.some((other) => !other.ended)) return;
    requests.delete(sequence);
    const { promptTokens, cachedTokens, completionTokens, reasoningTokens } = request;
    toSession({ kind: 'done', sequence, promptTokens, cachedTokens, completionTokens, reasoningTokens });
  }

  /** Python waits for the answer in the middle of a step: there is always one. */
  function guide({ sequence, choice: index, count, token }: Extract<FromMlxWorker, { kind: 'ask' }>): void {
    const mask = { kind: 'mask', sequence, choice: index } as const;
    const choice = requests.get(sequence)?.choices[index];
    if (choice !== undefined && token !== undefined && count > choice.count) take(sequence, index, token);
    if (choice === undefined || choice.ended || !requests.has(sequence)) {
      toPython(mask);
      return;
    }
    const forced = choice.guide?.forced() ?? null;
    const words = forced === null ? (choice.guide?.mask() ?? null) : null;
    if (forced !== null) toPython({ ...mask, forced });
    else if (words === null) toPython(mask);
    else if (words.every((word) => word === 0)) {
      toPython(mask);
      fail(sequence);
    } else toPython({ ...mask, words: Buffer.from(words.buffer, words.byteOffset, words.byteLength).toString('base64') });
  }

  /** Only of a request that asks about each token; others are on their way already. */
  function endReasoning(sequence: number): boolean {
    const choices = requests.get(sequence)?.choices.filter(({ ended }) => !ended) ?? [];
    const open = choices.filter(({ answer }) => answer.inReasoning);
    if (open.some(({ guide }) => guide?.binding !== true))
      throw new HearthError('capability_mismatch', 'On mlx the reasoning of a request can be ended only where the request gave it a budget.');
    return open.filter(({ guide }) => guide!.endReasoning()).length > 0;
  }

  async function loadAdapter({ id, name, directory: own }: Extract<ToWorker, { kind: 'adapter-load' }>): Promise<void> {
    const path = adapterPath(adaptersDirectory, own);
    await refuseLinksOut(adaptersDirectory!, own, path);
    // Names, shapes, ranks and numbers, by the strict parser, before the Python process opens the file.
    await readAdapter(path);
    toPython({ kind: 'adapter-load', id, name, directory: path });
  }

  async function tokenise(message: Extract<ToWorker, { kind: 'tokenize' }>): Promise<void> {
    const { text, encoder, vocabularySize } = model();
    const addBos = (message.addSpecial ?? false) && text.tokenizer.addBos;
    const input =
      message.messages === undefined
        ? { segments: [{ text: message.text ?? '', special: message.parseSpecial ?? true }], addBos }
        : await inputOf(text, { messages: message.messages as GenerateRequest['messages'] & object }, vocabularySize);
    toSession({ kind: 'reply', id: message.id, value: await encoder.encode(input) });
  }

  async function template({ id, messages, templateArguments = {} }: Extract<ToWorker, { kind: 'template' }>): Promise<void> {
    const input = await inputOf(model().text, { messages: messages as GenerateRequest['messages'] & object, templateArguments }, model().vocabularySize);
    toSession({ kind: 'reply', id, value: 'segments' in input ? input.segments.map((segment) => segment.text).join('') : '' });
  }

  function question(message: Extract<ToWorker, { id: number }>): void {
    const { text } = model();
    const reply = (value: unknown): void => toSession({ kind: 'reply', id: message.id, value });
    switch (message.kind) {
      case 'tokenize':
        tokenise(message).catch(refuse({ id: message.id }));
        break;
      case 'detokenize':
        reply(text.tokenizer.decode(message.tokens, { skipSpecial: false }));
        break;
      case 'template':
        template(message).catch(refuse({ id: message.id }));
        break;
      case 'embed':
      case 'rerank':
        throw new HearthError('not_implemented', 'mlx gives no vectors in this version; ember does.');
      case 'end-reasoning':
        reply(endReasoning(message.sequence));
        break;
      case 'adapter-load':
        loadAdapter(message).catch(refuse({ id: message.id }));
        break;
      case 'score':
        if (message.tokens.length > model().contextTokens)
          throw new HearthError('context_length_exceeded', `${message.tokens.length} tokens are more than the ${model().contextTokens} of the context.`);
        toPython(message);
        break;
      default:
        toPython(message as ToMlxWorker);
    }
  }

  return {
    fromSession(message) {
      try {
        switch (message.kind) {
          case 'load': {
            const options = parseMlxOptions(message.options);
            loading ??= loadTokenizer(directory).then(createModelText);
            loading.catch(refuse({}));
            const { contextTokens, parallelSequences, residentAdapters } = MLX_DEFAULTS;
            toPython({
              kind: 'load',
              options: {
                contextTokens: options.contextTokens ?? contextTokens,
                parallelSequences: options.parallelSequences ?? parallelSequences,
                residentAdapters: options.residentAdapters ?? residentAdapters,
              },
            });
            break;
          }
          case 'generate':
            generate(message.sequence, message.request as GenerateRequest, message.credit).catch(refuse({ sequence: message.sequence }));
            break;
          case 'cancel':
            tokenising.delete(message.sequence);
            requests.delete(message.sequence);
            toPython(message);
            break;
          case 'stop':
          case 'credit':
            toPython(message);
            break;
          default:
            question(message);
        }
      } catch (error) {
        refuse('id' in message ? { id: message.id } : 'sequence' in message ? { sequence: message.sequence } : {})(error);
      }
    },
    fromPython(message) {
      switch (message.kind) {
        case 'hello':
          break;
        case 'ready':
          void finishLoad(message);
          break;
        case 'tokens':
          for (const { sequence, choice, ...token } of message.items) take(sequence, choice, token);
          break;
        case 'ask':
          guide(message);
          break;
        case 'start': {
          const request = requests.get(message.sequence);
          if (request === undefined) break;
          request.cachedTokens = message.cachedTokens;
          toSession(message);
          break;
        }
        case 'prefill-progress':
          if (requests.has(message.sequence)) toSession(message);
          break;
        case 'error':
          if (message.sequence !== undefined) requests.delete(message.sequence);
          toSession(message);
          break;
        default:
          toSession(message);
      }
    },
  };
}
