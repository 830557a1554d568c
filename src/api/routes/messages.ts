import type { endpoints } from '../../contract/index.ts';
import { decodeMessagesRequest, decodePrompt, droppedTools, encodeMessageStream, foldMessage, messageEncoding, type Target } from '../../gateway/index.ts';
import { cacheSaltOf } from '../../security/index.ts';
import { answerHeaders, streamedAnswer } from '../answer-response.ts';
import type { Handler } from '../bind.ts';
import { asItCame, hasBytes, rawReply } from '../passthrough.ts';
import type { Services } from '../services.ts';
import { ANTHROPIC_EVENTS } from '../sse-dialect.ts';

/** POST /v1/messages. */
export const createMessageHandler =
  (services: Services): Handler<typeof endpoints.createMessage> =>
  async ({ body }, context) => {
    const { gateway, requestId, caller, note, signal } = context;
    const encoding = messageEncoding(body);
    const decode = (target: Target) => ({ ...decodeMessagesRequest(body, target, requestId, gateway.sampling), cacheSalt: cacheSaltOf(caller) });
    const dropped = droppedTools(body);
    const headers: Record<string, string> = dropped.length === 0 ? {} : { 'x-hearth-dropped': dropped.map(encodeURI).join(',') };
    const raw = asItCame('anthropic-messages', '/v1/messages', context);
    if (body.stream !== true) {
      const answer = await gateway.answer({ name: body.model, decode, ...raw, stream: false, signal });
      note.answer = answer;
      if (hasBytes(answer)) return await rawReply(answer, answerHeaders(answer));
      return Response.json(await foldMessage(answer, encoding), { headers: { ...answerHeaders(answer), ...headers } });
    }
    const response = await streamedAnswer(services, context, { name: body.model, decode, ...raw }, ANTHROPIC_EVENTS, (answer) =>
      encodeMessageStream(answer, encoding),
    );
    for (const [name, value] of Object.entries(headers)) response.headers.set(name, value);
    return response;
  };

/** POST /v1/messages/count_tokens: loads the model, since its files decide. */
export const countMessageTokensHandler: Handler<typeof endpoints.countMessageTokens> = async ({ body }, { gateway, signal }) => {
  const model = await gateway.resolve(body.model, signal);
  const prompt = decodePrompt(body, await gateway.target(model));
  const tokens = await gateway.withSession(model, signal, (session) => session.tokenize(prompt));
  return { input_tokens: tokens.length };
};
