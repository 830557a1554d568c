import type { CompletionReply, endpoints, GenerateRequest } from '../../contract/index.ts';
import { HearthError, isHearthError } from '../../core/index.ts';
import { type Answer, type CompletionEncoding, decodeCompletion, encodeCompletionStream, foldCompletion, type Target } from '../../gateway/index.ts';
import { cacheSaltOf } from '../../security/index.ts';
import { answerHeaders } from '../answer-headers.ts';
import { streamedAnswer, streamedFrames } from '../answer-response.ts';
import type { CallContext, Handler } from '../bind.ts';
import { asItCame, hasBytes, rawFrames, rawReply } from '../passthrough.ts';
import type { Services } from '../services.ts';
import { OPENAI_EVENTS } from '../sse-dialect.ts';
import { jsonResponse } from '../text-response.ts';

/** POST /v1/completions: one answer for each prompt. */
export const completionsHandler =
  (services: Services): Handler<typeof endpoints.completions> =>
  async ({ body }, context) => {
    const { gateway, note } = context;
    const gone = new AbortController();
    const signal = AbortSignal.any([context.signal, gone.signal]);
    const target = await gateway.targetOf(body.model, signal);
    const cacheSalt = cacheSaltOf(context.caller);
    const decode = (to: Target, index: number | null = null) =>
      decodeCompletion(body, to, context.requestId, gateway.sampling, index).map((request) => ({ ...request, cacheSalt }));
    const whole = target.model === undefined ? asItCame('openai-completions', '/v1/completions', context) : {};
    // Several prompts are several requests, unless an upstream takes them as they came.
    const raw = isOnePrompt(body.prompt) ? whole : {};
    const several = isOnePrompt(body.prompt) || whole.raw === undefined ? null : { name: body.model, ...whole, requestId: context.requestId, signal };
    const requests = whole.raw === undefined ? decode(target) : decodeWherePossible(decode, target);
    const encoding: CompletionEncoding = {
      choices: requests[0]?.choices ?? body.n ?? 1,
      includeUsage: body.stream_options?.include_usage === true,
      echo: body.echo === true ? await echoTexts(gateway, target, requests, signal) : [],
    };
    const stream = body.stream === true;
    const { promise: admitted, resolve: onAdmitted } = Promise.withResolvers<void>();
    const call = (index: number) => ({ name: body.model, decode: (to: Target) => decode(to, index)[0]!, ...raw, stream });
    const answer = async (index: number): Promise<Answer> => {
      const made = await gateway.answer({ ...call(index), onAdmitted, signal });
      note.answer ??= made;
      return made;
    };

    if (!stream) {
      const made = several && (await unlessRefused((refuse) => gateway.answer({ ...several, decode: refuse, stream })));
      if (made && hasBytes(made)) {
        note.answer = made;
        return await rawReply(made, answerHeaders(made));
      }
      const each = several ? decode(target) : requests.length === 0 ? [0] : requests;
      const answers = await Promise.all(each.map((_, index) => answer(index))).finally(() => gone.abort());
      const [first] = answers;
      if (hasBytes(first!)) return await rawReply(first, answerHeaders(first));
      return jsonResponse(await foldCompletion(answers, encoding), { headers: answerHeaders(first!) });
    }
    if (raw.raw !== undefined) return await streamedAnswer(services, context, call(0), OPENAI_EVENTS, (made) => encodeCompletionStream(only(made), encoding));
    async function* frames() {
      const made = several && (await unlessRefused((refuse) => gateway.answer({ ...several, decode: refuse, onAdmitted, stream })));
      if (made && hasBytes(made)) {
        note.answer = made;
        yield* rawFrames<CompletionReply>(made);
      } else yield* encodeCompletionStream(answers(), encoding);
    }
    async function* answers() {
      if (several) decode(target);
      for (let index = 0; index < requests.length; index += 1) yield await answer(index);
    }
    return await streamedFrames(services, context, { frames: frames(), gone, dialect: OPENAI_EVENTS, admitted });
  };

/** One text, or the ids of one: several are several requests, and only one goes through as it came. */
const isOnePrompt = (prompt: unknown): boolean =>
  typeof prompt === 'string' || (Array.isArray(prompt) && (prompt.length === 1 || typeof prompt[0] === 'number'));

/** Nothing where the canonical form lacks what the body asks: an upstream that speaks this API may have it. */
function decodeWherePossible(decode: (to: Target) => GenerateRequest[], target: Target): GenerateRequest[] {
  try {
    return decode(target);
  } catch (error) {
    if (isHearthError(error) && error.row.status === 400) return [];
    throw error;
  }
}

/** The answer to a request that goes on only as it came; null where no upstream takes it so. */
async function unlessRefused(ask: (refuse: () => never) => Promise<Answer>): Promise<Answer | null> {
  const refusal = new HearthError('capability_mismatch', 'This upstream takes one prompt at a time.');
  try {
    return await ask(() => {
      throw refusal;
    });
  } catch (error) {
    if (error === refusal) return null;
    throw error;
  }
}

async function* only<T>(item: T): AsyncGenerator<T, void> {
  yield item;
}

async function echoTexts(gateway: CallContext['gateway'], target: Target, requests: readonly GenerateRequest[], signal: AbortSignal): Promise<string[]> {
  if (requests.every(({ prompt }) => prompt !== undefined)) return requests.map(({ prompt }) => prompt!);
  if (target.model === undefined)
    throw new HearthError('unsupported_parameter', 'echo of token ids needs a model of this machine.', { details: { param: 'echo' } });
  return await gateway.withSession(target.model, signal, (session) =>
    Promise.all(requests.map(({ prompt, tokens }) => prompt ?? session.detokenize(tokens ?? []))),
  );
}
