import { z } from 'zod';
import { defineEndpoint } from '../endpoint.ts';
import { deletedResponse, responseEvent, responseReply, responseRequest, responseTokensReply, responseTokensRequest } from './responses.ts';

const params = z.strictObject({ id: z.string().min(1).max(256) });

/** OpenAI's Responses API (docs/spec/serving.md §2.4). */
export const responsesEndpoints = {
  createResponse: defineEndpoint({
    id: 'createResponse',
    method: 'POST',
    path: '/v1/responses',
    scope: 'inference',
    summary: 'Answer a text or a list of items, as JSON or as a stream of named events.',
    body: responseRequest,
    reply: responseReply,
    events: responseEvent,
  }),
  countResponseTokens: defineEndpoint({
    id: 'countResponseTokens',
    method: 'POST',
    path: '/v1/responses/input_tokens',
    scope: 'inference',
    summary: 'Count the tokens that the same body would have as its prompt.',
    body: responseTokensRequest,
    reply: responseTokensReply,
  }),
  getResponse: defineEndpoint({
    id: 'getResponse',
    method: 'GET',
    path: '/v1/responses/{id}',
    scope: 'inference',
    summary: 'Give an answer again that was made within the last hour with the same key.',
    params,
    reply: responseReply,
  }),
  deleteResponse: defineEndpoint({
    id: 'deleteResponse',
    method: 'DELETE',
    path: '/v1/responses/{id}',
    scope: 'inference',
    summary: 'Forget an answer, and the conversation that led to it.',
    params,
    reply: deletedResponse,
  }),
} as const;
