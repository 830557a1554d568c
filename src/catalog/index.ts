// Owns: the models that hearth knows by a short id, and what a pull of one tries.
// Refuses: downloading, judging files, measuring.
// Called by: stack, api and app.
export { type Catalog, createCatalog, type PullPlan, planPull } from './create-catalog.ts';
export { parseCatalog } from './load.ts';
export type { CatalogEntry, CatalogSource } from './schema.ts';
