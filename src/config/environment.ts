// The part of config that needs no schema: where the home and the caches are. A door of its own (test/architecture/layers.ts), so that
// commands which need nothing else start without loading zod.
export { hearthHome } from './home.ts';
export { type HubEnvironment, readHubEnvironment } from './hub-environment.ts';
export { findConfigFile } from './user-file.ts';
