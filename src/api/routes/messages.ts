import type { endpoints } from '../../contract/index.ts';
import {
  decodeMessagesRequest,
  decodePrompt,
  droppedTools,
  encodeMessageStream,
  estimatePromptTokens,
  foldMessage,
  messageEncoding,
  type Target,
} from '../../gateway/index.ts';
import { cacheSaltOf } from '../../security/index.ts';
import { answerHeaders } from '../answer-headers.ts';
import { streamedAnswer } from '../answer-response.ts';
import type { Handler } from '../bind.ts';
import { answerOfUpstream, asItCame, hasBytes, rawReply } from '../passthrough.ts';
import { fetchLinks } from '../remote-media.ts';
import type { Services } from '../services.ts';
import { ANTHROPIC_EVENTS } from '../sse-dialect.ts';

/** POST /v1/messages. */
export const createMessageHandler =
  (services: Services): Handler<typeof endpoints.createMessage> =>
  async ({ body }, context) => {
    const { gateway, requestId, caller, note, signal } = context;
    const encoding = messageEncoding(body);
    const fetched = await fetchLinks(services, context, body);
    const headers: Record<string, string> = {};
    const decode = (target: Target) => {
      const dropped = droppedTools(body);
      // An upstream that speaks this API gets the body as it is, with all its tools.
      if (dropped.length > 0) headers['x-hearth-dropped'] = dropped.map(encodeURI).join(',');
      return { ...decodeMessagesRequest(body, target, requestId, gateway.sampling, fetched), cacheSalt: cacheSaltOf(caller) };
    };
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

/** POST /v1/messages/count_tokens: loads the model, since its files decide. Of an upstream that cannot count it is an estimate, and marked as one. */
export const countMessageTokensHandler =
  (services: Services): Handler<typeof endpoints.countMessageTokens> =>
  async ({ body }, context) => {
    const { gateway, signal } = context;
    const estimated = (target: Target): Response => {
      const prompt = decodePrompt(body, target);
      const tools = prompt.tools === undefined ? 0 : JSON.stringify(prompt.tools.definitions).length;
      const tokens = estimatePromptTokens(prompt) + Math.ceil(tools / 4);
      return Response.json({ input_tokens: tokens }, { headers: { 'x-hearth-estimated': 'input_tokens' } });
    };
    const far = await answerOfUpstream(body.model, asItCame('anthropic-count-tokens', '/v1/messages/count_tokens', context), context, estimated);
    if (far !== null) return far;
    const model = await gateway.resolve(body.model, signal);
    const prompt = decodePrompt(body, await gateway.target(model), await fetchLinks(services, context, body));
    const tokens = await gateway.withSession(model, signal, (session) => session.tokenize(prompt));
    return { input_tokens: tokens.length };
  };
