// Owns: the configuration schema, loading by precedence (flags, environment, project file, user file, defaults), explaining where a value came from.
// Refuses: reading process.env, knowing who uses a key, anything of the domain.
// Called by: cli and app.
export { hearthHome, homeToTilde } from './home.ts';
export { type HubEnvironment, readHubEnvironment } from './hub-environment.ts';
export { CONFIG_KEYS, type ConfigKey, findKey, nearestKey } from './keys.ts';
export { type LoadedConfig, load } from './load.ts';
export type { Config } from './schema.ts';
export { findConfigFile } from './user-file.ts';
