import { type PullPlan, planPull } from '../../catalog/index.ts';
import type { endpoints } from '../../contract/index.ts';
import type { Handler } from '../bind.ts';
import type { Services } from '../services.ts';

/** GET /admin/v1/catalog. */
export const catalogHandler =
  ({ catalog, store }: Services): Handler<typeof endpoints.catalog> =>
  async (_, { signal }) => {
    const { models } = await store.list({ signal });
    const here = new Set(models.filter((model) => model.health === 'healthy').map((model) => model.name));
    const isHere = (plan: PullPlan | null) => plan?.cacheNames.some((name) => here.has(name)) ?? false;
    return { entries: (catalog?.entries ?? []).map((entry) => ({ ...entry, tags: [...entry.tags], local: isHere(planPull(entry)) })) };
  };
