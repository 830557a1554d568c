import type { Config } from '../config/index.ts';
import type { Reconfiguration } from '../gateway/index.ts';
import { engineOptionsOf } from './create-engines.ts';

/** What the gateway takes from the configuration, at its start and again at each reload. */
export const gatewayTimes = (config: Config): Reconfiguration => ({
  engineOptions: engineOptionsOf(config),
  contextTokens: config.gateway.contextTokens,
  parallelSequences: config.gateway.parallelSequences,
  ttlSeconds: config.gateway.ttlSeconds,
  maxTokens: config.serve.maxTokens,
  sampling: { temperature: config.sampling.temperature, topP: config.sampling.topP, repetitionPenalty: config.sampling.repetitionPenalty },
  queueLimit: config.limits.queueTotal,
  ownerQueueLimit: config.limits.queuePerKey,
  queueWaitMs: config.gateway.queueWaitMs,
  requestMs: config.gateway.requestMs,
  fairnessMs: config.gateway.fairnessMs,
  progressTimeoutMs: config.gateway.progressTimeoutMs,
});
