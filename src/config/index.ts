// Owns: the configuration schema, loading by precedence (flags, environment, project file, user file, defaults), explaining where a value came from.
// Refuses: reading process.env, knowing who uses a key, anything of the domain.
// Called by: cli and app.
import type { ConfigEdit } from './edit-file.ts';
import type { ConfigKey } from './keys.ts';

export { hearthHome, homeToTilde } from './home.ts';
export { type HubEnvironment, readHubEnvironment } from './hub-environment.ts';
export { CONFIG_KEYS, type ConfigKey, findKey, nearestKey } from './keys.ts';
export { type LoadedConfig, load } from './load.ts';
export type { Config } from './schema.ts';
export { findConfigFile } from './user-file.ts';

/** Sets one key in the user's file (edit-file.ts, loaded on use with the YAML library). */
export async function setInFile(home: string, key: ConfigKey, text: string): Promise<ConfigEdit> {
  const module = await import('./edit-file.ts');
  return await module.setInFile(home, key, text, new Date());
}
