import type { endpoints, GenerateRequest, ResponseRequest } from '../../contract/index.ts';
import { type Clock, HearthError } from '../../core/index.ts';
import {
  conversationAfter,
  createMediaReader,
  createResponseEncoder,
  createResponseStore,
  type DecodedResponse,
  decodeResponse,
  type FetchedMedia,
  previousNotFound,
  type ResponseContext,
  type ResponseStore,
  responseShell,
  responseTools,
  type Target,
} from '../../gateway/index.ts';
import { cacheSaltOf, callerId } from '../../security/index.ts';
import { answerHeaders } from '../answer-headers.ts';
import { streamedAnswer } from '../answer-response.ts';
import type { Handler } from '../bind.ts';
import { asItCame, hasBytes, rawReply } from '../passthrough.ts';
import { fetchLinks } from '../remote-media.ts';
import type { Services } from '../services.ts';
import { responsesEvents } from '../sse-dialect.ts';

/** POST /v1/responses. */
export const createResponseHandler =
  (services: Services): Handler<typeof endpoints.createResponse> =>
  async ({ body }, context) => {
    const { responses } = services;
    const { gateway } = context;
    const owner = callerId(context.caller);
    const { dropped } = responseTools(body);
    const fetched = await fetchLinks(services, context, body);
    let decoded: DecodedResponse | null = null;
    const decode = (target: Target): GenerateRequest => {
      decoded = decodeResponse(body, target, context.requestId, gateway.sampling, contextOf(responses, owner, body, target, fetched));
      return { ...decoded.request, cacheSalt: cacheSaltOf(context.caller) };
    };
    const encoder = createResponseEncoder(
      () => responseShell(body, decoded!.request),
      (reply) => {
        if (body.store !== false) responses.put(owner, { reply, conversation: decoded!.conversation });
      },
    );
    const headers = dropped.length === 0 ? {} : { 'x-hearth-dropped': dropped.map((type) => `tools.${encodeURI(type)}`).join(',') };
    // A conversation that is stored here goes on here: its upstream has not seen it.
    const raw = typeof body.previous_response_id === 'string' ? {} : asItCame('openai-responses', '/v1/responses', context);
    if (body.stream !== true) {
      const answer = await gateway.answer({ name: body.model, decode, ...raw, stream: false, signal: context.signal });
      context.note.answer = answer;
      if (hasBytes(answer)) return await rawReply(answer, answerHeaders(answer));
      for await (const _ of encoder.frames(answer)) {
        // The last one holds the reply.
      }
      return Response.json(encoder.reply(), { headers: { ...answerHeaders(answer), ...headers } });
    }
    const response = await streamedAnswer(services, context, { name: body.model, decode, ...raw }, responsesEvents(encoder.failure), encoder.frames);
    for (const [name, value] of Object.entries(headers)) response.headers.set(name, value);
    return response;
  };

/** POST /v1/responses/input_tokens: loads the model, since its files decide. */
export const countResponseTokensHandler =
  ({ responses }: Services): Handler<typeof endpoints.countResponseTokens> =>
  async ({ body }, { caller, gateway, requestId, signal }) => {
    const model = await gateway.resolve(body.model, signal);
    const target = await gateway.target(model);
    const given = body as ResponseRequest;
    const { request } = decodeResponse(given, target, requestId, gateway.sampling, contextOf(responses, callerId(caller), given, target));
    const tokens = await gateway.withSession(model, signal, (session) => session.tokenize({ ...request, messages: request.messages! }));
    return { object: 'response.input_tokens', input_tokens: tokens.length };
  };

export const getResponseHandler =
  ({ responses }: Services): Handler<typeof endpoints.getResponse> =>
  async ({ params }, { caller }) => {
    const found = responses.get(callerId(caller), params.id);
    if (found === null) throw notFound(params.id);
    return found.reply;
  };

export const deleteResponseHandler =
  ({ responses }: Services): Handler<typeof endpoints.deleteResponse> =>
  async ({ params: { id } }, { caller }) => {
    if (!responses.delete(callerId(caller), id)) throw notFound(id);
    return { id, object: 'response.deleted', deleted: true };
  };

/** What the request refers to: the answer that it goes on from, and items of earlier ones. */
function contextOf(responses: ResponseStore, owner: string, body: ResponseRequest, target: Target, fetched?: FetchedMedia): ResponseContext {
  const id = body.previous_response_id;
  const previous = id === null || id === undefined ? null : responses.get(owner, id);
  if (id !== null && id !== undefined && previous === null) throw previousNotFound(id);
  return {
    earlier: previous === null ? [] : conversationAfter(previous),
    media: createMediaReader(target, fetched === undefined ? {} : { fetched }),
    itemOf: (itemId) => responses.item(owner, itemId),
  };
}

/** Where answers are kept, for `Services`. */
export const responseStore = (clock: Clock): ResponseStore => createResponseStore({ clock });

const notFound = (id: string): HearthError =>
  new HearthError('response_not_found', `There is no response ${id.slice(0, 64)} any more, or it was made with another key.`, { details: { param: 'id' } });
