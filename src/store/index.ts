// Owns: models on disk: the shared cache, names and references, the hub client, pull and rm, health, detection, workspaces.
// Refuses: configuration, engines, the catalog, running a model, signing and trust.
// Called by: catalog, gateway, training, stack, api and app.
export type { CloneParameters, CloneProgress } from './clone.ts';
export type { ConvertParameters, ConvertProgress } from './convert.ts';
export { createStore, type Store } from './create-store.ts';
export { freeSpaceOf, sleepFor } from './defaults.ts';
export type { HealthParameters } from './health.ts';
export { createJudgements, type Judgements, type JudgementsOptions } from './judgements.ts';
export type { ListParameters } from './list.ts';
export { expandPath, type Located, locate } from './locate.ts';
export { parseReference, type Reference, repositoryDirectory, shortName, validateName } from './names.ts';
export type { OpenModel, OpenModelParameters } from './open-model.ts';
export { DEFAULT_CDN_HOSTS, DEFAULT_HUB_ENDPOINT, type HubOptions, type PulledSnapshot, type PullProgress, type StoreOptions } from './options.ts';
export { type CommandResult, type CommandRunner, createCommandRunner } from './package-source/command-runner.ts';
export type { PackageSource } from './package-source/pull-package.ts';
export type { PullParameters } from './pull.ts';
export type { PushParameters, PushProgress } from './push/push-run.ts';
export type { RmParameters } from './rm.ts';
export type { ShowParameters } from './show.ts';
export { sizeText } from './size-text.ts';
