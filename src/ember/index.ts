// Owns: the embedded inference engine: weights in, logits out.
// Refuses: HTTP, model names, the hearth home, text.
// Called by: engines/ember only.
export * from './kernel-interface.ts';
export { createPageCache, type PageCache, pagesFor } from './kv/page-cache.ts';
export { firstPageKept } from './kv/page-groups.ts';
export { estimateMemory, type MemoryNeed, type MemoryShape } from './load/estimate-memory.ts';
export { loadEmber } from './load/load-ember.ts';
export { runsQuantization } from './load/matrix-source.ts';
export { modelGraph, supportedModelTypes } from './models/architectures.ts';
export { type GraphTensors, graphTensors } from './models/graph-tensors.ts';
export { defaultRanks, type RankFacts, readCgroupQuotaCpus } from './ranks/default-ranks.ts';
export { createRankThreads, type RankThreads } from './ranks/rank-threads.ts';
export * from './types.ts';
