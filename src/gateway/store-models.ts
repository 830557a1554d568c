import { access } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { HearthError, isHearthError } from '../core/index.ts';
import { type OpenModel, parseReference, type Store } from '../store/index.ts';
import type { ListedModel, ModelSource, ResolvedModel } from './model-source.ts';

/** A name is looked up again after this time: judging a model's files takes longer than all else that the gateway does for a request. */
const FRESH_MS = 1000;
const MAX_FRESH = 256;

/** The models of the store, by the names of the API. */
export function createStoreModels(store: Store): ModelSource {
  const fresh = new Map<string, { readonly model: ResolvedModel; readonly at: number }>();
  const isPath = (name: string): boolean => parseReference(name).kind === 'path';

  return {
    async resolve(name, signal) {
      if (isPath(name))
        throw new HearthError(
          'model_not_found',
          'A path is not a model name; over the API models go by name. `hearth serve --model PATH` serves a directory under its last part.',
          { details: { param: 'model' } },
        );
      const known = fresh.get(name);
      if (known && performance.now() - known.at < FRESH_MS && (await isThere(known.model))) return known.model;
      const model = usable(await store.open({ reference: name, signal }), name);
      if (fresh.size >= MAX_FRESH) fresh.clear();
      fresh.set(name, { model, at: performance.now() });
      return model;
    },

    async resolvePath(path, signal) {
      if (!isPath(path)) throw new HearthError('invalid_value', `${path} is not a path; it has to begin with / or ./`, { details: { param: 'path' } });
      return usable(await store.open({ reference: path, signal }), path);
    },

    async list(signal) {
      const { models } = await store.list({ signal });
      const rows: ListedModel[] = [];
      for (const model of models) {
        if (!model.runtime_compatible || model.health !== 'healthy') continue;
        const row = await listed(store, model.name, signal);
        if (row) rows.push(row);
      }
      return rows;
    },
  };
}

const isThere = ({ facts }: ResolvedModel): Promise<boolean> =>
  access(join(facts.directory, facts.weightFiles[0] ?? '')).then(
    () => true,
    () => false,
  );

/** null for one that cannot be named so: a directory of several GGUF files needs its variant. */
async function listed(store: Store, reference: string, signal: AbortSignal): Promise<ListedModel | null> {
  try {
    const open = await store.open({ reference, signal });
    const { model, facts } = open;
    return {
      ...usable(open, reference),
      createdAtMs: Date.parse(model.last_modified),
      sizeBytes: model.size_bytes,
      contextTokens: contextLength(facts.config),
      quantization: quantizationText(model.quantization),
      capabilities: model.capabilities,
    };
  } catch (error) {
    if (isHearthError(error)) return null;
    throw error;
  }
}

function usable(open: OpenModel, reference: string): ResolvedModel {
  const { model, facts } = open;
  if (model.health !== 'healthy') {
    const again = model.cached ? ` \`hearth pull ${model.name} --force-resume\` fetches what is missing.` : '';
    throw new HearthError('model_load_failed', `${idOf(open, reference)} is not whole: ${whatIsBroken(open)}.${again}`, {
      details: { param: 'model' },
    });
  }
  const id = idOf(open, reference);
  const workspace = model.cached ? {} : { workspace: facts.directory };
  const { revision, adapter } = parseReference(reference) as { readonly revision?: string | null; readonly adapter?: string | null };
  const named = typeof revision === 'string' ? { revisionNamed: true } : {};
  const withAdapter = typeof adapter === 'string' ? { adapter } : {};
  return {
    id,
    hash: open.identity.hash,
    facts,
    capabilities: model.capabilities,
    name: model.cached ? id : open.identity.name,
    ...workspace,
    ...named,
    ...withAdapter,
  };
}

/** The health check says that config.json is missing also where a GGUF file, which needs none, is broken. */
function whatIsBroken({ model, facts }: OpenModel): string {
  const [file] = facts.weightFiles;
  const needsNone = facts.framework === 'GGUF' && model.reason === 'config.json missing' && file !== undefined;
  return needsNone ? `${file} does not begin as a GGUF file does, or cannot be read` : (model.reason ?? 'unknown reason');
}

function idOf({ model }: OpenModel, reference: string): string {
  const { variant } = parseReference(reference) as { readonly variant?: string | null };
  const name = model.cached ? model.name : basename(model.name);
  return variant ? `${name}:${variant}` : name;
}

/** First positive integer of the usual keys, at the top level, then in text_config (docs/spec/store.md §10). */
function contextLength(config: Readonly<Record<string, unknown>>): number | null {
  const text = config['text_config'];
  for (const level of [config, typeof text === 'object' && text !== null ? (text as Record<string, unknown>) : {}]) {
    for (const key of ['max_position_embeddings', 'n_positions', 'context_length', 'max_sequence_length', 'seq_len']) {
      const value = level[key];
      if (typeof value === 'number' && Number.isSafeInteger(value) && value > 0) return value;
    }
  }
  return null;
}

function quantizationText(quantization: Readonly<Record<string, unknown>> | null | undefined): string | null {
  const bits = quantization?.['bits'];
  return typeof bits === 'number' ? `${bits}-bit` : null;
}
