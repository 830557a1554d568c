import type { endpoints } from '../../contract/index.ts';
import { decodeChat, encodeChatStream, foldChat, type Generation } from '../../gateway/index.ts';
import { cacheSaltOf } from '../../security/index.ts';
import type { Handler } from '../bind.ts';
import type { Services } from '../services.ts';
import { sseResponse, streamOptions } from '../sse.ts';

/** POST /v1/chat/completions. */
export const chatHandler =
  (services: Services): Handler<typeof endpoints.chatCompletions> =>
  async ({ body }, context) => {
    const { gateway } = services;
    const gone = new AbortController();
    const signal = AbortSignal.any([context.signal, gone.signal]);
    const target = await gateway.target(await gateway.resolve(body.model, signal));
    const request = { ...decodeChat(body, target, context.requestId, gateway.sampling), cacheSalt: cacheSaltOf(context.caller) };
    const generation = await gateway.generate({ model: target.model, request, signal });
    context.note.generation = generation;
    const headers = answerHeaders(generation);
    if (body.stream !== true) return Response.json(await foldChat(generation, request.choices), { headers });
    const frames = encodeChatStream(generation, { choices: request.choices, includeUsage: body.stream_options?.include_usage === true });
    return await sseResponse(frames, streamOptions(services, context, gone, headers));
  };

/** Who answered (docs/spec/serving.md §6.3). Names that no header can hold are percent-encoded. */
export function answerHeaders({ loaded }: Generation): Record<string, string> {
  return {
    'x-hearth-model': encodeURI(loaded.model.id),
    'x-hearth-upstream': loaded.engineId,
    'x-hearth-attempts': `${loaded.engineId}=ok`,
  };
}
