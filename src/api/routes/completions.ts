import type { endpoints, GenerateRequest } from '../../contract/index.ts';
import { HearthError } from '../../core/index.ts';
import { type Answer, type CompletionEncoding, decodeCompletion, encodeCompletionStream, foldCompletion, type Target } from '../../gateway/index.ts';
import { cacheSaltOf } from '../../security/index.ts';
import { answerHeaders } from '../answer-headers.ts';
import { streamedFrames } from '../answer-response.ts';
import type { CallContext, Handler } from '../bind.ts';
import type { Services } from '../services.ts';
import { OPENAI_EVENTS } from '../sse-dialect.ts';
import { jsonResponse } from '../text-response.ts';

/** POST /v1/completions: one answer for each prompt. */
export const completionsHandler =
  (services: Services): Handler<typeof endpoints.completions> =>
  async ({ body }, context) => {
    const { gateway } = context;
    const gone = new AbortController();
    const signal = AbortSignal.any([context.signal, gone.signal]);
    const target = await gateway.targetOf(body.model, signal);
    const cacheSalt = cacheSaltOf(context.caller);
    const decode = (to: Target) => decodeCompletion(body, to, context.requestId, gateway.sampling).map((request) => ({ ...request, cacheSalt }));
    const requests = decode(target);
    const encoding: CompletionEncoding = {
      choices: requests[0]!.choices,
      includeUsage: body.stream_options?.include_usage === true,
      echo: body.echo === true ? await echoTexts(gateway, target, requests, signal) : [],
    };
    const stream = body.stream === true;
    const { promise: admitted, resolve: onAdmitted } = Promise.withResolvers<void>();
    const answer = async (index: number): Promise<Answer> => {
      const made = await gateway.answer({ name: body.model, decode: (to) => decode(to)[index]!, stream, onAdmitted, signal });
      context.note.answer ??= made;
      return made;
    };

    if (!stream) {
      const answers = await Promise.all(requests.map((_, index) => answer(index))).finally(() => gone.abort());
      return jsonResponse(await foldCompletion(answers, encoding), { headers: answerHeaders(answers[0]!) });
    }
    async function* answers() {
      for (let index = 0; index < requests.length; index += 1) yield await answer(index);
    }
    return await streamedFrames(services, context, { frames: encodeCompletionStream(answers(), encoding), gone, dialect: OPENAI_EVENTS, admitted });
  };

async function echoTexts(gateway: CallContext['gateway'], target: Target, requests: readonly GenerateRequest[], signal: AbortSignal): Promise<string[]> {
  if (requests.every(({ prompt }) => prompt !== undefined)) return requests.map(({ prompt }) => prompt!);
  if (target.model === undefined)
    throw new HearthError('unsupported_parameter', 'echo of token ids needs a model of this machine.', { details: { param: 'echo' } });
  return await gateway.withSession(target.model, signal, (session) =>
    Promise.all(requests.map(({ prompt, tokens }) => prompt ?? session.detokenize(tokens ?? []))),
  );
}
