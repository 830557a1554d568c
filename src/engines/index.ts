// Owns: the engine port and the engines behind it.
// Refuses: spawning, HTTP, deciding what is loaded.
// Called by: gateway, training, stack (through the port) and app.
export { chooseEngineFor, type EngineCandidate, type EngineChoice, type EngineQuestion } from './choose-engine.ts';
export { createEmberEngine, type EmberEngineSettings } from './ember/ember-engine.ts';
export { type KnownAdapter, knownAdapters } from './known-adapters.ts';
export {
  createMlxEnvironments,
  type EnvironmentState,
  type MlxEnvironments,
  type MlxEnvironmentsOptions,
} from './mlx/environment/environments.ts';
export { createMlxEngine, type MlxEngineSettings, type MlxEnvironment, type MlxEnvironmentSource } from './mlx/mlx-engine.ts';
export * from './port.ts';
export { connectWorker, SESSION_LIMITS, type SessionLimits } from './protocol/session.ts';
export type { RemoteAnswer, UpstreamCall, UpstreamTimeouts, UpstreamUsage, WireApi, WireRequest } from './remote/call.ts';
export { capabilitiesOf, REMOTE_CAPABILITIES } from './remote/capabilities.ts';
export { createRemote, type Remote } from './remote/create-remote.ts';
export { type FaultMeaning, UpstreamFault } from './remote/fault.ts';
export { listPeerModels, probeRemote, type RemoteHealth } from './remote/health.ts';
export { createRemoteEngine } from './remote/remote-engine.ts';
export type { RemoteModel, RemoteOptions } from './remote/remote-options.ts';
export { checkAnswerWishes, enforceableSchema, templateFeatures } from './text/index.ts';
