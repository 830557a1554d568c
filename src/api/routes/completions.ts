import type { endpoints, GenerateRequest } from '../../contract/index.ts';
import { HearthError, isHearthError } from '../../core/index.ts';
import { type Answer, type CompletionEncoding, decodeCompletion, encodeCompletionStream, foldCompletion, type Target } from '../../gateway/index.ts';
import { cacheSaltOf } from '../../security/index.ts';
import { answerHeaders } from '../answer-headers.ts';
import { streamedAnswer, streamedFrames } from '../answer-response.ts';
import type { CallContext, Handler } from '../bind.ts';
import { asItCame, hasBytes, rawReply } from '../passthrough.ts';
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
    const raw = target.model === undefined && isOnePrompt(body.prompt) ? asItCame('openai-completions', '/v1/completions', context) : {};
    const requests = raw.raw === undefined ? decode(target) : decodeWherePossible(decode, target);
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
      const answers = await Promise.all((requests.length === 0 ? [0] : [...requests.keys()]).map(answer)).finally(() => gone.abort());
      const [first] = answers;
      if (hasBytes(first!)) return await rawReply(first, answerHeaders(first));
      return jsonResponse(await foldCompletion(answers, encoding), { headers: answerHeaders(first!) });
    }
    if (raw.raw !== undefined) return await streamedAnswer(services, context, call(0), OPENAI_EVENTS, (made) => encodeCompletionStream(only(made), encoding));
    async function* answers() {
      for (let index = 0; index < requests.length; index += 1) yield await answer(index);
    }
    return await streamedFrames(services, context, { frames: encodeCompletionStream(answers(), encoding), gone, dialect: OPENAI_EVENTS, admitted });
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
