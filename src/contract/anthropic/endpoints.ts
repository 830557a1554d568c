import { defineEndpoint } from '../endpoint.ts';
import { countTokensReply, countTokensRequest, messagesEvent, messagesReply, messagesRequest } from './messages.ts';

/** Endpoints in the shape of Anthropic's API. */
export const anthropicEndpoints = {
  createMessage: defineEndpoint({
    id: 'createMessage',
    method: 'POST',
    path: '/v1/messages',
    scope: 'inference',
    summary: 'Answer a conversation in the shape of Anthropic’s API, as JSON or as a stream of named events.',
    body: messagesRequest,
    reply: messagesReply,
    events: messagesEvent,
  }),
  countMessageTokens: defineEndpoint({
    id: 'countMessageTokens',
    method: 'POST',
    path: '/v1/messages/count_tokens',
    scope: 'inference',
    summary: 'Count the tokens of the prompt that a request to /v1/messages would have.',
    body: countTokensRequest,
    reply: countTokensReply,
  }),
} as const;
