import type { ExpertsPlacement } from '../load/rank-plan.ts';
import { createExpertChoice } from './choose-experts.ts';
import type { FeedForward, RankContext } from './rank-context.ts';
import { createGatedActivation, createNetwork, createPlainActivation, type GatedActivation } from './run-network.ts';

/**
 * Experts: every rank has a share of each. All ranks choose the same ones, since their residuals are equal bit for bit. Tokens are grouped by
 * expert, so that a step reads each used expert once.
 */
export function createExperts(context: RankContext, layer: ExpertsPlacement): FeedForward {
  const { kernels, buffers, matrices, floats, hidden, batchTokens } = context;
  const { width, routerMatrix, gate, up, down } = layer;
  const { take } = layer.router;
  const shared = createShared(context, layer);
  if (routerMatrix === null) return (x, y, tokens) => shared?.(x, y, tokens);
  const count = routerMatrix.rows;
  const choose = createExpertChoice(layer.router, count);
  const gates = gate.length > 0;
  const activate = gates ? createGatedActivation(kernels, layer.activation) : plainAsGated(context, layer);
  const correction = layer.correction === 0 ? null : floats.subarray(layer.correction / 4, layer.correction / 4 + count);
  const ids = new Int32Array(batchTokens * take);
  const weights = new Float32Array(batchTokens * take);
  /** Tokens of each expert, one list behind the other: where each begins, and the choice that each entry is. */
  const begins = new Int32Array(count + 1);
  const choices = new Int32Array(batchTokens * take);

  function route(x: number, tokens: number): void {
    matrices.input(x, tokens);
    matrices.multiply(routerMatrix!, buffers.routerLogits);
    for (let t = 0; t < tokens; t++) {
      const at = buffers.routerLogits / 4 + t * count;
      choose(floats.subarray(at, at + count), correction, ids.subarray(t * take, (t + 1) * take), weights.subarray(t * take, (t + 1) * take));
    }
  }

  /** One token: its experts read the same input, which is prepared once, and are activated together. */
  function runOne(y: number): void {
    for (let i = 0; i < take; i++) {
      if (gates) matrices.multiply(gate[ids[i]!]!, buffers.gate + i * width * 4);
      matrices.multiply(up[ids[i]!]!, buffers.up + i * width * 4);
    }
    activate(buffers.gate, buffers.up, buffers.gate, take * width);
    for (let i = 0; i < take; i++) {
      matrices.input(buffers.gate + i * width * 4, 1);
      matrices.multiply(down[ids[i]!]!, buffers.expertOutput);
      kernels.addScaled(y, buffers.expertOutput, hidden, weights[i]!);
    }
  }

  function groupByExpert(chosen: number): void {
    begins.fill(0);
    for (let i = 0; i < chosen; i++) begins[ids[i]! + 1]!++;
    for (let e = 0; e < count; e++) begins[e + 1]! += begins[e]!;
    const next = begins.slice(0, count);
    for (let i = 0; i < chosen; i++) choices[next[ids[i]!]!++] = i;
  }

  function runMany(x: number, y: number, tokens: number): void {
    groupByExpert(tokens * take);
    const row = (buffer: number, token: number): number => buffer / 4 + token * hidden;
    for (let e = 0; e < count; e++) {
      const begin = begins[e]!;
      const rows = begins[e + 1]! - begin;
      if (rows === 0) continue;
      for (let i = 0; i < rows; i++) {
        const from = row(x, Math.floor(choices[begin + i]! / take));
        floats.copyWithin(row(buffers.gathered, i), from, from + hidden);
      }
      const rowOf = (i: number): number => Math.floor(choices[begin + i]! / take);
      matrices.input(buffers.gathered, rows, rowOf);
      if (gates) matrices.multiply(gate[e]!, buffers.gate);
      matrices.multiply(up[e]!, buffers.up);
      activate(buffers.gate, buffers.up, buffers.gate, rows * width);
      matrices.input(buffers.gate, rows, rowOf);
      matrices.multiply(down[e]!, buffers.expertOutput);
      for (let i = 0; i < rows; i++) {
        const choice = choices[begin + i]!;
        kernels.addScaled(y + Math.floor(choice / take) * hidden * 4, buffers.expertOutput + i * hidden * 4, hidden, weights[choice]!);
      }
    }
  }

  return (x, y, tokens) => {
    route(x, tokens);
    floats.fill(0, y / 4, y / 4 + tokens * hidden);
    if (tokens === 1) runOne(y);
    else runMany(x, y, tokens);
    if (shared === null) return;
    shared(x, buffers.expertOutput, tokens);
    kernels.addInto(y, buffers.expertOutput, tokens * hidden);
  };
}

/** Experts without gates: what `up` gives, activated, into where gated ones leave their product. */
function plainAsGated(context: RankContext, { activation }: ExpertsPlacement): GatedActivation {
  const activate = createPlainActivation(context, activation);
  return (_, up, out, n) => {
    activate(up, n);
    context.floats.copyWithin(out / 4, up / 4, up / 4 + n);
  };
}

/** The network that all tokens go to; null where the rank has no share of it. */
function createShared(context: RankContext, { shared, sharedGate }: ExpertsPlacement): FeedForward | null {
  if (shared === null || shared.width === 0) return null;
  const { matrices, buffers, floats, hidden, kernels } = context;
  const network = createNetwork(context, shared);
  if (sharedGate === null) return network;
  return (x, y, tokens) => {
    network(x, y, tokens);
    matrices.input(x, tokens);
    matrices.multiply(sharedGate, buffers.routerLogits);
    for (let t = 0; t < tokens; t++) kernels.scaleBy(y + t * hidden * 4, hidden, 1 / (1 + Math.exp(-floats[buffers.routerLogits / 4 + t]!)));
  };
}
