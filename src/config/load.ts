import type { z } from 'zod';
import { HearthError } from '../core/index.ts';
import { CONFIG_KEYS, type ConfigKey } from './keys.ts';
import { type Config, configSchema } from './schema.ts';

/** Everything that a configuration is made of; nothing else is looked at. */
export interface ConfigSources {
  /** Canonical key → value, from the command line. */
  readonly flags?: Readonly<Record<string, unknown>>;
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly projectFile?: { readonly path: string; readonly text: string } | undefined;
  readonly userFile?: { readonly path: string; readonly text: string } | undefined;
}

/** Where a value came from. `place`: file and line, variable or flag. */
export interface Origin {
  readonly source: 'default' | 'user' | 'project' | 'env' | 'flag';
  readonly place: string | null;
}

export interface LoadedConfig {
  readonly config: Config;
  readonly origins: ReadonlyMap<string, Origin>;
  /** The values that were offered for a key, strongest first, for `config explain`. */
  readonly offers: ReadonlyMap<string, readonly { readonly origin: Origin; readonly value: unknown }[]>;
}

interface Offer {
  readonly origin: Origin;
  readonly value: unknown;
}

/** Merges by precedence (flags, environment, project file, user file, defaults) and throws `config_invalid` with every problem at once. */
export async function load(sources: ConfigSources): Promise<LoadedConfig> {
  const problems: string[] = [];
  const offers = new Map<string, Offer[]>(CONFIG_KEYS.map((key) => [key.name, []]));
  const add = (name: string, source: Origin['source'], place: string, value: unknown) => offers.get(name)?.push({ origin: { source, place }, value });

  for (const [name, value] of Object.entries(sources.flags ?? {})) if (value !== undefined) add(name, 'flag', name, value);
  for (const key of CONFIG_KEYS)
    for (const variable of key.variables) {
      const text = sources.env?.[variable];
      if (text !== undefined && text !== '') add(key.name, 'env', variable, fromText(key, text));
    }
  if (sources.env?.['HEARTH_DEBUG'] === '1' || sources.env?.['MLXK2_DEBUG'] === '1') add('logs.level', 'env', 'HEARTH_DEBUG', 'debug');
  for (const [source, file] of [['project', sources.projectFile] as const, ['user', sources.userFile] as const]) {
    if (file === undefined || file.text.trim() === '') continue;
    const { parseFile } = await import('./parse-file.ts'); // the YAML parser is only needed when there is a file
    const parsed = parseFile(file.path, file.text, source === 'project');
    problems.push(...parsed.problems);
    for (const value of parsed.values) add(value.key, source, `${file.path}:${value.line}`, value.value);
  }

  const tree: Record<string, unknown> = {};
  const origins = new Map<string, Origin>();
  for (const key of CONFIG_KEYS) {
    // A weaker value is checked too: it would surprise later, when the stronger one goes away.
    const checked = offers.get(key.name)!.map((offer) => ({ offer, result: key.schema.safeParse(offer.value) }));
    for (const { offer, result } of checked) if (!result.success) problems.push(`${offer.origin.place}: ${key.name} ${reason(key, result.error)}`);
    const best = checked[0];
    origins.set(key.name, best?.offer.origin ?? { source: 'default', place: null });
    if (best?.result.success) place(tree, key.path, best.result.data);
  }
  if (problems.length > 0) throw new HearthError('config_invalid', problems.join('\n'), { details: { problems } });
  return { config: deepFreeze(configSchema.parse(tree)) as Config, origins, offers };
}

/** A text of the environment or the command line as a value of this key. */
export function fromText(key: ConfigKey, text: string): unknown {
  if (key.schema.safeParse(text).success) return text;
  if (/^(1|true|yes|on)$/i.test(text) && key.schema.safeParse(true).success) return true;
  if (/^(0|false|no|off)$/i.test(text) && key.schema.safeParse(false).success) return false;
  if (text.trim() !== '' && Number.isFinite(Number(text))) return Number(text);
  if (/^\s*[[{]/.test(text)) {
    const value = jsonOf(text);
    if (value !== undefined) return value;
  }
  if (key.schema.safeParse([]).success) return text.split(',').map((item) => item.trim());
  return text;
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

/** What is wrong with a value of this key. */
export function reason(key: ConfigKey, error: z.ZodError): string {
  const issue = error.issues[0];
  // A key that holds groups of names: the message has to say where in it.
  const at = issue === undefined || issue.path.length === 0 ? '' : `at ${issue.path.join('.')}: `;
  return `must be ${key.allowed} (${at}${issue?.message ?? 'invalid'}).`;
}

function place(tree: Record<string, unknown>, path: readonly string[], value: unknown): void {
  let node = tree;
  for (const name of path.slice(0, -1)) {
    node[name] ??= {};
    node = node[name] as Record<string, unknown>;
  }
  node[path.at(-1)!] = value;
}

function deepFreeze(value: unknown): unknown {
  if (typeof value === 'object' && value !== null) {
    for (const child of Object.values(value)) deepFreeze(child);
    Object.freeze(value);
  }
  return value;
}
