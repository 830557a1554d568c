import type { ChatRequest, endpoints } from '../../contract/index.ts';
import { answerBatches, decodeChat, encodeChatStream, encodeWholeChat, foldChat, planImageBatches, type Target } from '../../gateway/index.ts';
import { cacheSaltOf } from '../../security/index.ts';
import { answerHeaders } from '../answer-headers.ts';
import { streamedAnswer } from '../answer-response.ts';
import type { CallContext, Handler } from '../bind.ts';
import { asItCame, hasBytes, rawReply } from '../passthrough.ts';
import { fetchLinks } from '../remote-media.ts';
import type { Services } from '../services.ts';
import { OPENAI_EVENTS } from '../sse-dialect.ts';
import { jsonResponse } from '../text-response.ts';

/** POST /v1/chat/completions. */
export const chatHandler =
  (services: Services): Handler<typeof endpoints.chatCompletions> =>
  async ({ body }, context) => {
    const { gateway } = context;
    const batches = planImageBatches(body, services.images);
    if (batches !== null) return await answerImages(context, body, batches);
    const fetched = await fetchLinks(services, context, body);
    let choices = 1;
    const decode = (target: Target) => {
      const request = { ...decodeChat(body, target, context.requestId, gateway.sampling, fetched), cacheSalt: cacheSaltOf(context.caller) };
      choices = request.choices;
      return request;
    };
    const raw = asItCame('openai-chat', '/v1/chat/completions', context);
    if (body.stream !== true) {
      const answer = await gateway.answer({ name: body.model, decode, ...raw, stream: false, signal: context.signal });
      context.note.answer = answer;
      if (hasBytes(answer)) return await rawReply(answer, answerHeaders(answer));
      return jsonResponse(await foldChat(answer, choices), { headers: answerHeaders(answer) });
    }
    return await streamedAnswer(services, context, { name: body.model, decode, ...raw }, OPENAI_EVENTS, (answer) =>
      encodeChatStream(answer, { choices, includeUsage: body.stream_options?.include_usage === true }),
    );
  };

/** Pictures in batches: one answer after the other, joined; a stream gets each as one piece when it is there. */
async function answerImages(context: CallContext, body: ChatRequest, batches: NonNullable<ReturnType<typeof planImageBatches>>): Promise<Response> {
  const { gateway } = context;
  const reply = await answerBatches(batches, async (part) => {
    const decode = (target: Target) => ({ ...decodeChat(part, target, context.requestId, gateway.sampling), cacheSalt: cacheSaltOf(context.caller) });
    const answer = await gateway.answer({ name: part.model, decode, stream: false, signal: context.signal });
    context.note.answer ??= answer;
    return await foldChat(answer, 1);
  });
  if (body.stream !== true) return jsonResponse(reply);
  return new Response(encodeWholeChat(reply, body.stream_options?.include_usage === true), { headers: { 'content-type': 'text/event-stream; charset=utf-8' } });
}
