import type { endpoints } from '../../contract/index.ts';
import { decodeChat, encodeChatStream, foldChat, type Target } from '../../gateway/index.ts';
import { cacheSaltOf } from '../../security/index.ts';
import { answerHeaders, streamedAnswer } from '../answer-response.ts';
import type { Handler } from '../bind.ts';
import type { Services } from '../services.ts';
import { OPENAI_EVENTS } from '../sse-dialect.ts';

/** POST /v1/chat/completions. */
export const chatHandler =
  (services: Services): Handler<typeof endpoints.chatCompletions> =>
  async ({ body }, context) => {
    const { gateway } = services;
    let choices = 1;
    const decode = (target: Target) => {
      const request = { ...decodeChat(body, target, context.requestId, gateway.sampling), cacheSalt: cacheSaltOf(context.caller) };
      choices = request.choices;
      return request;
    };
    if (body.stream !== true) {
      const answer = await gateway.answer({ name: body.model, decode, stream: false, signal: context.signal });
      context.note.answer = answer;
      return Response.json(await foldChat(answer, choices), { headers: answerHeaders(answer) });
    }
    return await streamedAnswer(services, context, { name: body.model, decode }, OPENAI_EVENTS, (answer) =>
      encodeChatStream(answer, { choices, includeUsage: body.stream_options?.include_usage === true }),
    );
  };
