import type { endpoints } from '../../contract/index.ts';
import { decodeCompletion, encodeCompletionStream, foldCompletion, type Target } from '../../gateway/index.ts';
import { cacheSaltOf } from '../../security/index.ts';
import type { Handler } from '../bind.ts';
import type { Services } from '../services.ts';
import { sseResponse, streamOptions } from '../sse.ts';
import { answerHeaders } from './chat.ts';

/** POST /v1/completions. */
export const completionsHandler =
  (services: Services): Handler<typeof endpoints.completions> =>
  async ({ body }, context) => {
    const { gateway } = services;
    const gone = new AbortController();
    const signal = AbortSignal.any([context.signal, gone.signal]);
    const target = await gateway.target(await gateway.resolve(body.model, signal));
    const cacheSalt = cacheSaltOf(context.caller);
    const requests = decodeCompletion(body, target, context.requestId, gateway.sampling).map((request) => ({ ...request, cacheSalt }));
    const encoding = {
      choices: requests[0]!.choices,
      includeUsage: body.stream_options?.include_usage === true,
      echo: body.echo === true ? await echoTexts(services, target, requests, signal) : [],
    };
    const generate = (index: number) => gateway.generate({ model: target.model, request: requests[index]!, signal });

    if (body.stream !== true) {
      const generations = await Promise.all(requests.map((_, index) => generate(index))).catch((error: unknown) => {
        gone.abort();
        throw error;
      });
      context.note.generation = generations[0]!;
      return Response.json(await foldCompletion(generations, encoding).finally(() => gone.abort()), { headers: answerHeaders(generations[0]!) });
    }
    const first = await generate(0);
    context.note.generation = first;
    async function* generations() {
      yield first;
      for (let index = 1; index < requests.length; index += 1) yield await generate(index);
    }
    const frames = encodeCompletionStream(generations(), encoding);
    return await sseResponse(frames, streamOptions(services, context, gone, answerHeaders(first)));
  };

async function echoTexts(
  { gateway }: Services,
  target: Target,
  requests: readonly { readonly prompt?: string; readonly tokens?: readonly number[] }[],
  signal: AbortSignal,
): Promise<string[]> {
  if (requests.every(({ prompt }) => prompt !== undefined)) return requests.map(({ prompt }) => prompt!);
  return await gateway.withSession(target.model, signal, (session) =>
    Promise.all(requests.map(({ prompt, tokens }) => prompt ?? session.detokenize(tokens ?? []))),
  );
}
