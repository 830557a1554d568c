import { z } from 'zod';
import { similarity } from '../core/index.ts';
import { configSchema } from './schema.ts';

/** One leaf of the schema. */
export interface ConfigKey {
  /** `gateway.drainTimeoutMs`. */
  readonly name: string;
  readonly path: readonly string[];
  readonly schema: z.ZodType;
  readonly description: string;
  readonly defaultValue: unknown;
  /** Names in the environment, strongest first. */
  readonly variables: readonly string[];
  /** Name of the reference tool that `config get` accepts too. */
  readonly alias?: string;
  /** What the value may be, for people: `1 … 100`, `info, debug`. */
  readonly allowed: string;
  readonly projectSafe: boolean;
}

/** Older and shorter names; docs/spec/store.md §1, docs/spec/stack.md §2. */
const EXTRA_VARIABLES: Readonly<Record<string, readonly string[]>> = {
  'serve.host': ['HEARTH_HOST', 'MLXK2_HOST'],
  'serve.port': ['HEARTH_PORT', 'MLXK2_PORT'],
  'serve.maxTokens': ['HEARTH_MAX_TOKENS', 'MLXK2_MAX_TOKENS'],
  'serve.model': ['HEARTH_PRELOAD_MODEL', 'MLXK2_PRELOAD_MODEL'],
  'serve.embedBackend': ['HEARTH_EMBED_BACKEND', 'MLXK2_EMBED_BACKEND'],
  'run.exifMetadata': ['HEARTH_EXIF_METADATA', 'MLXK2_EXIF_METADATA'],
  'run.metadataContext': ['HEARTH_VISION_METADATA_CONTEXT', 'MLXK2_VISION_METADATA_CONTEXT'],
  'run.imageChunk': ['HEARTH_VISION_CHUNK_SIZE', 'MLXK2_VISION_CHUNK_SIZE'],
  'run.audioSegments': ['HEARTH_AUDIO_SEGMENTS', 'MLXK2_AUDIO_SEGMENTS'],
  'logs.level': ['HEARTH_LOG_LEVEL', 'MLXK2_LOG_LEVEL'],
  'logs.json': ['HEARTH_LOG_JSON', 'MLXK2_LOG_JSON'],
  'hub.endpoint': ['HF_ENDPOINT'],
  'workspaces.home': ['HEARTH_WORKSPACE_HOME', 'MLXK_WORKSPACE_HOME'],
};
const ALIASES: Readonly<Record<string, string>> = {
  'gateway.port': 'litellm-port',
  'logs.maxSizeMib': 'log-max-size-mb',
  'logs.maxFiles': 'log-max-files',
  'models.dir': 'model-dir',
  'models.defaultQuant': 'default-quant',
};
const PROJECT_SAFE = ['agent.', 'training.', 'gate.'];

export const CONFIG_KEYS: readonly ConfigKey[] = collect(configSchema, []);

export function findKey(name: string): ConfigKey | undefined {
  return CONFIG_KEYS.find((key) => key.name === name || key.alias === name);
}

/** The key that looks most like `name`, for messages. */
export function nearestKey(name: string): string | undefined {
  const scored = CONFIG_KEYS.map((key) => ({ name: key.name, score: similarity(key.name.toLowerCase(), name.toLowerCase()) }));
  scored.sort((a, b) => b.score - a.score);
  return scored[0] !== undefined && scored[0].score >= 0.4 ? scored[0].name : undefined;
}

function collect(schema: z.ZodType, path: readonly string[]): ConfigKey[] {
  const inner = unwrap(schema);
  if (inner instanceof z.ZodObject) return Object.entries(inner.shape).flatMap(([name, child]) => collect(child as z.ZodType, [...path, name]));
  const name = path.join('.');
  const alias = ALIASES[name];
  return [
    {
      name,
      path,
      schema,
      description: schema.description ?? '',
      defaultValue: schema.parse(undefined),
      variables: [`HEARTH_${path.map(upperSnake).join('_')}`, ...(EXTRA_VARIABLES[name] ?? [])],
      ...(alias === undefined ? {} : { alias }),
      get allowed() {
        return describe(z.toJSONSchema(schema, { io: 'input' }) as JsonSchema);
      },
      projectSafe: PROJECT_SAFE.some((prefix) => name.startsWith(prefix)),
    },
  ];
}

function unwrap(schema: z.ZodType): z.ZodType {
  return schema instanceof z.ZodPrefault || schema instanceof z.ZodDefault ? unwrap(schema.unwrap() as z.ZodType) : schema;
}

interface JsonSchema {
  readonly type?: string;
  readonly anyOf?: readonly JsonSchema[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly format?: string;
  readonly items?: JsonSchema;
}

function describe(schema: JsonSchema): string {
  if (schema.anyOf !== undefined) return schema.anyOf.map(describe).join(' or ');
  if (schema.const !== undefined) return String(schema.const);
  if (schema.enum !== undefined) return schema.enum.join(', ');
  if (schema.type === 'integer' || schema.type === 'number') {
    const least = schema.minimum !== undefined && schema.minimum > Number.MIN_SAFE_INTEGER ? schema.minimum : undefined;
    const most = schema.maximum !== undefined && schema.maximum < Number.MAX_SAFE_INTEGER ? schema.maximum : undefined;
    const kind = schema.type === 'integer' ? 'whole number' : 'number';
    if (least !== undefined && most !== undefined) return `${kind} ${least} … ${most}`;
    return least === undefined ? kind : `${kind} ≥ ${least}`;
  }
  if (schema.type === 'boolean') return 'true, false';
  if (schema.type === 'array') return 'list of texts';
  if (schema.format === 'uri') return 'URL';
  return schema.type === 'string' ? 'text' : (schema.type ?? 'value');
}

function upperSnake(name: string): string {
  return name.replace(/([a-z0-9])([A-Z])/g, '$1_$2').toUpperCase();
}
