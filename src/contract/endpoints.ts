import { z } from 'zod';
import { accessEndpoints } from './access-endpoints.ts';
import {
  cancelReply,
  catalogReply,
  healthReply,
  loadRequest,
  residentList,
  residentModel,
  statusReply,
  unloadReply,
  unloadRequest,
  versionReply,
} from './admin.ts';
import { alertEndpoints } from './alert-endpoints.ts';
import { anthropicEndpoints } from './anthropic/endpoints.ts';
import { auditEndpoints } from './audit-endpoints.ts';
import { daemonEndpoints } from './daemon-endpoints.ts';
import { embeddingEndpoints } from './embedding-endpoints.ts';
import { defineEndpoint } from './endpoint.ts';
import { engineEndpoints } from './engine-endpoints.ts';
import { observeEndpoints } from './observe-endpoints.ts';
import { audioEndpoints } from './openai/audio.ts';
import { chatChunk, chatReply, chatRequest } from './openai/chat.ts';
import {
  applyTemplateReply,
  applyTemplateRequest,
  completionReply,
  completionRequest,
  detokenizeReply,
  detokenizeRequest,
  tokenizeReply,
  tokenizeRequest,
} from './openai/completions.ts';
import { modelItem, modelList } from './openai/models.ts';
import { responsesEndpoints } from './openai/responses-endpoints.ts';
import { pushEndpoints } from './push-endpoints.ts';
import { routingEndpoints } from './routing-endpoints.ts';
import { storeEndpoints } from './store-endpoints.ts';
import { trustEndpoints } from './trust-endpoints.ts';
import { workspaceEndpoints } from './workspace-endpoints.ts';

/** Every endpoint that this version serves. */
export const endpoints = {
  chatCompletions: defineEndpoint({
    id: 'chatCompletions',
    method: 'POST',
    path: '/v1/chat/completions',
    scope: 'inference',
    summary: 'Answer a conversation, as JSON or as a stream of chunks.',
    body: chatRequest,
    reply: chatReply,
    events: chatChunk,
  }),
  completions: defineEndpoint({
    id: 'completions',
    method: 'POST',
    path: '/v1/completions',
    scope: 'inference',
    summary: 'Continue plain text or token ids, without a template.',
    body: completionRequest,
    reply: completionReply,
    events: completionReply,
  }),
  ...anthropicEndpoints,
  ...embeddingEndpoints,
  ...engineEndpoints,
  ...responsesEndpoints,
  ...audioEndpoints,
  listModels: defineEndpoint({
    id: 'listModels',
    method: 'GET',
    path: '/v1/models',
    scope: 'inference',
    summary: 'List the models that can answer, loaded ones first.',
    reply: modelList,
  }),
  getModel: defineEndpoint({
    id: 'getModel',
    method: 'GET',
    path: '/v1/models/{id+}',
    scope: 'inference',
    summary: 'Describe one model; the id may hold slashes, raw or percent-encoded.',
    params: z.strictObject({ id: z.string().min(1).max(256) }),
    reply: modelItem,
  }),
  tokenize: defineEndpoint({
    id: 'tokenize',
    method: 'POST',
    path: '/tokenize',
    aliases: ['/v1/tokenize'],
    scope: 'inference',
    summary: 'Turn text or messages into token ids.',
    body: tokenizeRequest,
    reply: tokenizeReply,
  }),
  detokenize: defineEndpoint({
    id: 'detokenize',
    method: 'POST',
    path: '/detokenize',
    aliases: ['/v1/detokenize'],
    scope: 'inference',
    summary: 'Turn token ids into text.',
    body: detokenizeRequest,
    reply: detokenizeReply,
  }),
  applyTemplate: defineEndpoint({
    id: 'applyTemplate',
    method: 'POST',
    path: '/apply-template',
    aliases: ['/v1/apply-template'],
    scope: 'inference',
    summary: 'Render messages with the chat template of the model.',
    body: applyTemplateRequest,
    reply: applyTemplateReply,
  }),
  cancelRequest: defineEndpoint({
    id: 'cancelRequest',
    method: 'DELETE',
    path: '/v1/requests/{id}',
    scope: 'inference',
    summary: 'Cancel a running request by its x-request-id.',
    params: z.strictObject({ id: z.string().min(1).max(128) }),
    reply: cancelReply,
  }),
  health: defineEndpoint({
    id: 'health',
    method: 'GET',
    path: '/health',
    scope: 'public',
    summary: 'The status in one word; 503 while the server is stopping.',
    reply: healthReply,
    replyStatuses: [503],
  }),
  healthLive: defineEndpoint({
    id: 'healthLive',
    method: 'GET',
    path: '/health/live',
    scope: 'public',
    summary: '200 while the event loop turns.',
    reply: healthReply,
  }),
  healthReady: defineEndpoint({
    id: 'healthReady',
    method: 'GET',
    path: '/health/ready',
    scope: 'public',
    summary: '200 when a model can take a request now or by loading.',
    reply: healthReply,
    replyStatuses: [503],
  }),
  version: defineEndpoint({
    id: 'version',
    method: 'GET',
    path: '/admin/v1/version',
    scope: 'observe',
    summary: 'Version of the product and of these routes.',
    reply: versionReply,
  }),
  status: defineEndpoint({ id: 'status', method: 'GET', path: '/admin/v1/status', scope: 'observe', summary: 'State of the daemon.', reply: statusReply }),
  residentModels: defineEndpoint({
    id: 'residentModels',
    method: 'GET',
    path: '/admin/v1/models',
    scope: 'observe',
    summary: 'Models that the run loop knows, one consistent snapshot.',
    reply: residentList,
  }),
  loadModel: defineEndpoint({
    id: 'loadModel',
    method: 'POST',
    path: '/admin/v1/models/load',
    scope: 'models',
    summary: 'Load a model and wait until it is ready; a path is taken over the socket only.',
    body: loadRequest,
    reply: residentModel,
  }),
  unloadModel: defineEndpoint({
    id: 'unloadModel',
    method: 'POST',
    path: '/admin/v1/models/unload',
    scope: 'models',
    summary: 'Unload a model after its running requests, or at once with force.',
    body: unloadRequest,
    reply: unloadReply,
  }),
  catalog: defineEndpoint({
    id: 'catalog',
    method: 'GET',
    path: '/admin/v1/catalog',
    scope: 'observe',
    summary: 'Models that are known by a short id, and which of them are here.',
    reply: catalogReply,
  }),
  ...daemonEndpoints,
  ...accessEndpoints,
  ...alertEndpoints,
  ...auditEndpoints,
  ...daemonEndpoints,
  ...observeEndpoints,
  ...storeEndpoints,
  ...trustEndpoints,
  ...workspaceEndpoints,
  ...pushEndpoints,
  ...routingEndpoints,
} as const;

export type EndpointId = keyof typeof endpoints;
