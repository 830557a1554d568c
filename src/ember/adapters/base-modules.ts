import type { BaseModule } from '../../formats/index.ts';
import type { MatrixPlacement, RankPlan } from '../load/rank-plan.ts';
import type { Linear, ModelGraph } from '../models/model-graph.ts';

/** Every module of a graph that an adapter can change, by path. */
export function baseModules(graph: ModelGraph): ReadonlyMap<string, BaseModule> {
  const modules = new Map<string, BaseModule>();
  const add = (linear: Linear, kind: BaseModule['kind']): void => {
    const { path, inputs, outputs, within, stack = 1 } = linear;
    if (modules.has(path)) return;
    // Stacks other than experts are parts of a projection that was taken apart: no module that training tools see.
    if (kind === 'experts' || stack === 1) modules.set(path, { path, kind, inputs, outputs: within?.rows ?? outputs, experts: stack });
  };
  add(graph.embedding.table, 'embedding');
  for (const { feedForward } of graph.layers) {
    const body = feedForward?.body;
    if (body?.kind === 'experts') for (const linear of [body.gate, body.up, body.down]) if (linear) add(linear, 'experts');
  }
  for (const linear of objectsIn([graph.layers, graph.head], isLinear)) add(linear, 'linear');
  return modules;
}

/** Every matrix that a rank holds, by the path of its module. */
export function placedMatrices(plan: RankPlan): ReadonlyMap<string, readonly MatrixPlacement[]> {
  const placed = new Map<string, MatrixPlacement[]>();
  for (const matrix of new Set(objectsIn([plan.embedding, plan.layers, plan.head], isMatrix))) {
    const own = placed.get(matrix.path);
    if (own === undefined) placed.set(matrix.path, [matrix]);
    else if (own.every(({ weight }) => weight !== matrix.weight)) own.push(matrix);
  }
  return placed;
}

const isLinear = (value: object): value is Linear => 'path' in value && 'inputs' in value && 'outputs' in value;
const isMatrix = (value: object): value is MatrixPlacement => 'path' in value && 'form' in value;

/** Graphs and plans are plain data of many shapes: whatever they hold of one kind. */
function* objectsIn<T extends object>(value: unknown, isWanted: (value: object) => value is T): Generator<T> {
  if (typeof value !== 'object' || value === null) return;
  if (isWanted(value)) yield value;
  else for (const part of Object.values(value)) yield* objectsIn(part, isWanted);
}
