import type { Hono } from 'hono';
import { endpoints } from '../contract/index.ts';
import { bind, type Handler, type HonoEnv } from './bind.ts';
import { createApiKeyHandler, lastReloadHandler, listApiKeysHandler, reloadConfigHandler, revokeApiKeyHandler } from './routes/access.ts';
import { cancelRequestHandler, loadModelHandler, residentModelsHandler, statusHandler, unloadModelHandler, versionHandler } from './routes/admin.ts';
import { bindAlerts } from './routes/alerts.ts';
import { getModelInShape, listModelsInShape } from './routes/anthropic-models.ts';
import { audioHandler } from './routes/audio.ts';
import { bindAudit } from './routes/audit.ts';
import { catalogHandler } from './routes/catalog.ts';
import { chatHandler } from './routes/chat.ts';
import { completionsHandler } from './routes/completions.ts';
import { daemonStopHandler, logLinesHandler, logRotateHandler, logsHandler, stackDownHandler, stackUpHandler } from './routes/daemon.ts';
import { embeddingProxy } from './routes/embedding-proxy.ts';
import { embeddingsHandler, rerankHandler } from './routes/embeddings.ts';
import { bindEngines } from './routes/engines.ts';
import { healthHandler, liveHandler, readyHandler } from './routes/health.ts';
import { countMessageTokensHandler, createMessageHandler } from './routes/messages.ts';
import { getModelHandler, listModelsHandler } from './routes/models.ts';
import {
  cacheHandler,
  cancelAnyRequestHandler,
  captureHandler,
  capturesHandler,
  clearCacheHandler,
  drainHandler,
  endReasoningHandler,
  eventsHandler,
  limitsHandler,
  liveRequestsHandler,
  metricsHandler,
  pinModelHandler,
  queueHandler,
  usageHandler,
} from './routes/observe.ts';
import { storePushHandler } from './routes/push.ts';
import { countResponseTokensHandler, createResponseHandler, deleteResponseHandler, getResponseHandler } from './routes/responses.ts';
import { drainUpstreamHandler, explainRouteHandler, resetBreakerHandler, resumeUpstreamHandler, routesHandler, upstreamsHandler } from './routes/routing.ts';
import { storeHealthHandler, storeListHandler, storePullHandler, storeRecalculateHandler, storeRemoveHandler, storeShowHandler } from './routes/store.ts';
import { applyTemplateHandler, detokenizeHandler, tokenizeHandler } from './routes/tokenize.ts';
import { bindTrust } from './routes/trust.ts';
import { storeCloneHandler, storeConvertHandler } from './routes/workspaces.ts';
import type { Services } from './services.ts';

type On = <E extends (typeof endpoints)[keyof typeof endpoints]>(endpoint: E, handler: Handler<E>) => void;

/** Every endpoint of the contract with its handler. */
export function bindRoutes(app: Hono<HonoEnv>, services: Services): void {
  const on: On = (endpoint, handler) => bind(app, endpoint, services, handler);
  on(endpoints.chatCompletions, chatHandler(services));
  on(endpoints.completions, completionsHandler(services));
  on(endpoints.createMessage, createMessageHandler(services));
  on(endpoints.countMessageTokens, countMessageTokensHandler(services));
  bindEmbeddings(app, services);
  on(endpoints.rerank, rerankHandler(services));
  on(endpoints.transcriptions, audioHandler('transcribe'));
  on(endpoints.translations, audioHandler('translate'));
  on(endpoints.createResponse, createResponseHandler(services));
  on(endpoints.countResponseTokens, countResponseTokensHandler(services));
  on(endpoints.getResponse, getResponseHandler(services));
  on(endpoints.deleteResponse, deleteResponseHandler(services));
  on(endpoints.listModels, listModelsInShape(listModelsHandler(services)));
  on(endpoints.getModel, getModelInShape(getModelHandler(services)));
  on(endpoints.tokenize, tokenizeHandler(services));
  on(endpoints.detokenize, detokenizeHandler(services));
  on(endpoints.applyTemplate, applyTemplateHandler(services));
  on(endpoints.upstreams, upstreamsHandler(services));
  on(endpoints.routes, routesHandler(services));
  on(endpoints.explainRoute, explainRouteHandler(services));
  on(endpoints.drainUpstream, drainUpstreamHandler(services));
  on(endpoints.resumeUpstream, resumeUpstreamHandler(services));
  on(endpoints.resetBreaker, resetBreakerHandler(services));
  on(endpoints.cancelRequest, cancelRequestHandler(services));
  on(endpoints.health, healthHandler(services));
  on(endpoints.healthLive, liveHandler);
  on(endpoints.healthReady, readyHandler(services));
  on(endpoints.version, versionHandler(services));
  on(endpoints.status, statusHandler(services));
  on(endpoints.residentModels, residentModelsHandler(services));
  on(endpoints.loadModel, loadModelHandler(services));
  on(endpoints.unloadModel, unloadModelHandler(services));
  on(endpoints.catalog, catalogHandler(services));
  bindEngines(on, services);
  on(endpoints.daemonStop, daemonStopHandler(services));
  on(endpoints.stackUp, stackUpHandler(services));
  on(endpoints.stackDown, stackDownHandler(services));
  on(endpoints.logs, logsHandler(services));
  on(endpoints.logLines, logLinesHandler(services));
  on(endpoints.logRotate, logRotateHandler(services));
  on(endpoints.createApiKey, createApiKeyHandler(services));
  on(endpoints.listApiKeys, listApiKeysHandler(services));
  on(endpoints.revokeApiKey, revokeApiKeyHandler(services));
  bindAudit(on, services);
  bindAlerts(on, services);
  on(endpoints.reloadConfig, reloadConfigHandler(services));
  on(endpoints.lastReload, lastReloadHandler(services));
  bindObservation(on, services);
  bindTrust(on, services);
  on(endpoints.storeList, storeListHandler(services));
  on(endpoints.storePull, storePullHandler(services));
  on(endpoints.storePush, storePushHandler(services));
  on(endpoints.storeShow, storeShowHandler(services));
  on(endpoints.storeHealth, storeHealthHandler(services));
  on(endpoints.storeRecalculate, storeRecalculateHandler(services));
  on(endpoints.storeRemove, storeRemoveHandler(services));
  on(endpoints.storeClone, storeCloneHandler(services));
  on(endpoints.storeConvert, storeConvertHandler(services));
}

function bindObservation(on: On, services: Services): void {
  on(endpoints.metrics, metricsHandler(services));
  on(endpoints.liveRequests, liveRequestsHandler(services));
  on(endpoints.cancelAnyRequest, cancelAnyRequestHandler(services));
  on(endpoints.endReasoning, endReasoningHandler(services));
  on(endpoints.queue, queueHandler(services));
  on(endpoints.cache, cacheHandler(services));
  on(endpoints.clearCache, clearCacheHandler(services));
  on(endpoints.limits, limitsHandler(services));
  on(endpoints.drain, drainHandler(services));
  on(endpoints.pinModel, pinModelHandler(services));
  on(endpoints.events, eventsHandler(services));
  on(endpoints.usage, usageHandler(services));
  on(endpoints.captures, capturesHandler(services));
  on(endpoints.capture, captureHandler(services));
}

/** With a backend the body is only passed on: the other server checks it. */
function bindEmbeddings(app: Hono<HonoEnv>, services: Services): void {
  const { backend } = services.embeddings;
  const { body: _, ...unread } = endpoints.embeddings;
  if (backend === null) bind(app, endpoints.embeddings, services, embeddingsHandler(services));
  else bind(app, unread, services, embeddingProxy({ backend, maxBodyBytes: services.maxBodyBytes }));
}
