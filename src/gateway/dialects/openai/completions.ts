import type { AnswerPart, CompletionReply, CompletionRequest, GenerateRequest, HearthExtension, Usage } from '../../../contract/index.ts';
import type { Answer, Target } from '../../answer.ts';
import type { Gateway } from '../../gateway.ts';
import { answerSteps } from '../answer-steps.ts';
import type { Frame } from '../frame.ts';
import { askedSampling, decodeChoices, decodeSampling, decodeStop, invalid, isPresent, unsupported } from '../sampling.ts';
import { decodeAdapter } from './adapter.ts';
import { type AnswerHead, answerHead, extensionOf, wireUsage } from './answer.ts';

/** The canonical request of one prompt, or without `index` those of all; token ids and text are both used without a template. */
export function decodeCompletion(
  body: CompletionRequest,
  target: Target,
  requestId: string,
  defaults: Gateway['sampling'],
  index: number | null = null,
): GenerateRequest[] {
  if (isPresent(body.suffix) && body.suffix !== '') throw unsupported('suffix', target);
  if (isPresent(body.logprobs) && body.logprobs > target.capabilities.maxLogprobs) throw unsupported('logprobs', target);
  if (isPresent(body.logprobs) && body.echo === true) throw invalid('echo', 'Log probabilities are given for the answer only; leave out echo or logprobs.');
  const choices = decodeChoices(body.n, target);
  if (isPresent(body.best_of) && body.best_of !== choices) throw invalid('best_of', 'best_of has to equal n.');
  const shared = {
    ...(isPresent(body.max_tokens) ? { maxTokens: body.max_tokens } : {}),
    stop: decodeStop(body.stop),
    sampling: decodeSampling(body, target, defaults),
    choices,
    remote: { asked: askedSampling(body) },
    ...decodeAdapter(body, target),
    ...(isPresent(body.logprobs) ? { logprobs: body.logprobs } : {}),
  };
  const all = prompts(body.prompt);
  return (index === null ? [...all.keys()] : [index]).map((place) => {
    const prompt = all[place]!;
    return {
      requestId: place === 0 ? requestId : `${requestId}.${place}`,
      ...(typeof prompt === 'string' ? { prompt } : { tokens: prompt }),
      ...shared,
    };
  });
}

function prompts(prompt: CompletionRequest['prompt']): (string | number[])[] {
  if (typeof prompt === 'string') return [prompt];
  return typeof prompt[0] === 'number' ? [prompt as number[]] : (prompt as (string | number[])[]);
}

export interface CompletionEncoding {
  readonly choices: number;
  readonly includeUsage: boolean;
  /** Text before each answer, by prompt: what `echo` asks for. */
  readonly echo: readonly string[];
}

type Choice = CompletionReply['choices'][number];

/** Chunks of a stream over one or several answers, one after the other (docs/spec/serving.md §2.1 item 14). */
export async function* encodeCompletionStream(answers: AsyncIterable<Answer>, encoding: CompletionEncoding): AsyncGenerator<Frame<CompletionReply>, void> {
  let head: AnswerHead | null = null;
  let total: Usage | null = null;
  let prompt = 0;
  for await (const answer of answers) {
    head ??= answerHead('cmpl', answer);
    const same = head;
    const first = prompt * encoding.choices;
    const offsets: number[] = [];
    const chunk = (choice: number, text: string, finish: Choice['finish_reason'], extension?: HearthExtension, part?: AnswerPart): Frame<CompletionReply> => {
      const logprobs = part === undefined ? null : legacyLogprobs(part, offsets[choice] ?? 0);
      offsets[choice] = (offsets[choice] ?? 0) + text.length;
      return {
        kind: 'data',
        data: makeReply(same, [{ ...makeChoice(first + choice, text, finish), logprobs }], encoding.includeUsage ? { usage: null } : {}, extension),
      };
    };
    const echo = encoding.echo[prompt];
    if (echo) for (let choice = 0; choice < encoding.choices; choice += 1) yield chunk(choice, echo, null);
    for await (const step of answerSteps(answer, encoding.choices)) {
      if (step.kind === 'progress') yield { kind: 'comment', text: `prefill ${step.doneTokens}/${step.totalTokens}` };
      else if (step.kind === 'part') yield chunk(step.choice, textOf(step.part), null, undefined, step.part);
      else if (step.kind === 'finish') {
        const { finish, usage } = step;
        if (usage) total = addUsage(total, wireUsage(usage));
        yield chunk(finish.choice, '', plainFinish(finish.reason), usage ? extensionOf(answer, usage, finish) : undefined);
      }
    }
    prompt += 1;
  }
  if (head && total && encoding.includeUsage) yield { kind: 'data', data: makeReply(head, [], { usage: total }) };
}

/** The JSON reply over all answers of the request. */
export async function foldCompletion(answers: readonly Answer[], encoding: CompletionEncoding): Promise<CompletionReply> {
  const head = answerHead('cmpl', answers[0]!);
  let usage: Usage | null = null;
  let extension: HearthExtension | undefined;
  const folded = answers.map(async (answer, prompt) => {
    const choices = Array.from({ length: encoding.choices }, (_, choice) =>
      makeChoice(prompt * encoding.choices + choice, encoding.echo[prompt] ?? '', 'stop'),
    );
    for await (const step of answerSteps(answer, encoding.choices)) {
      if (step.kind === 'part') {
        const choice = choices[step.choice]!;
        choice.logprobs = joinLogprobs(choice.logprobs, legacyLogprobs(step.part, choice.text.length));
        choice.text += textOf(step.part);
      } else if (step.kind === 'finish') {
        choices[step.finish.choice]!.finish_reason = plainFinish(step.finish.reason);
        if (!step.usage) continue;
        usage = addUsage(usage, wireUsage(step.usage));
        extension = extensionOf(answer, step.usage, step.finish);
      }
    }
    return choices;
  });
  const choices = (await Promise.all(folded)).flat();
  return makeReply(head, choices, { usage }, answers.length === 1 ? extension : undefined);
}

/** Without a template there are neither reasoning parts nor calls. */
const textOf = (part: AnswerPart): string => (part.kind === 'text-delta' || part.kind === 'reasoning-delta' ? part.text : '');

type Logprobs = Choice['logprobs'];

/** The older form of the API: parallel lists; `offset` is where the text of the part begins. */
function legacyLogprobs(part: AnswerPart, offset: number): Logprobs {
  if (part.kind !== 'text-delta' || part.logprobs === undefined) return null;
  const list = part.logprobs;
  let at = offset;
  const text_offset = list.map(({ token }) => {
    const start = at;
    at += token.length;
    return start;
  });
  return {
    tokens: list.map(({ token }) => token),
    token_logprobs: list.map(({ logprob }) => logprob),
    top_logprobs: list.some(({ top }) => top.length > 0) ? list.map(({ top }) => Object.fromEntries(top.map(({ token, logprob }) => [token, logprob]))) : null,
    text_offset,
  };
}

function joinLogprobs(a: Logprobs, b: Logprobs): Logprobs {
  if (a === null || b === null) return a ?? b;
  return {
    tokens: [...a.tokens, ...b.tokens],
    token_logprobs: [...a.token_logprobs, ...b.token_logprobs],
    top_logprobs: a.top_logprobs === null || b.top_logprobs === null ? null : [...a.top_logprobs, ...b.top_logprobs],
    text_offset: [...a.text_offset, ...b.text_offset],
  };
}

const plainFinish = (reason: string): Choice['finish_reason'] => (reason === 'length' || reason === 'content_filter' ? reason : 'stop');

const makeChoice = (index: number, text: string, finish_reason: Choice['finish_reason']): Choice => ({ index, text, finish_reason, logprobs: null });

const makeReply = (head: AnswerHead, choices: Choice[], usage: { usage?: Usage | null }, extension?: HearthExtension): CompletionReply => ({
  id: head.id,
  object: 'text_completion',
  created: head.created,
  model: head.model,
  system_fingerprint: head.system_fingerprint,
  choices,
  ...usage,
  ...(extension ? { hearth: extension } : {}),
});

function addUsage(sum: Usage | null, usage: Usage): Usage {
  if (!sum) return usage;
  return {
    prompt_tokens: sum.prompt_tokens + usage.prompt_tokens,
    completion_tokens: sum.completion_tokens + usage.completion_tokens,
    total_tokens: sum.total_tokens + usage.total_tokens,
    prompt_tokens_details: { cached_tokens: (sum.prompt_tokens_details?.cached_tokens ?? 0) + (usage.prompt_tokens_details?.cached_tokens ?? 0) },
    completion_tokens_details: {
      reasoning_tokens: (sum.completion_tokens_details?.reasoning_tokens ?? 0) + (usage.completion_tokens_details?.reasoning_tokens ?? 0),
    },
  };
}
