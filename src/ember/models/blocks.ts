import type { Attention, Branch, Experts, GatedNetwork, Layer, Linear, Norm, Router, StateSpace } from './model-graph.ts';

/** Parts that architectures put their graphs together from. */

export const linear = (path: string, inputs: number, outputs: number, bias = false): Linear => ({ path, inputs, outputs, bias });

/** One matrix per expert or head in tensors with one more dimension. */
export const stack = (count: number, path: string, inputs: number, outputs: number, bias = false): Linear => ({
  ...linear(path, inputs, outputs, bias),
  stack: count,
});

/** Parts of a fused projection, in the order of its rows. */
export function fused(path: string, inputs: number, outputs: readonly number[], bias = false): Linear[] {
  const rows = outputs.reduce((sum, own) => sum + own, 0);
  let next = 0;
  return outputs.map((own) => {
    const firstRow = next;
    next += own;
    return { ...linear(path, inputs, own, bias), within: { firstRow, rows } };
  });
}

export const rmsNorm = (path: string, size: number, epsilon: number, plus: 0 | 1 = 0): Norm => ({ kind: 'rms', path, size, epsilon, bias: false, plus });

export const layerNorm = (path: string, size: number, epsilon: number, bias: boolean): Norm => ({ kind: 'layer', path, size, epsilon, bias, plus: 0 });

/** Norm, body, residual. */
export const preNorm = <Body>(norm: Norm | null, body: Body): Branch<Body> => ({ norm, body, outputNorm: null, residualNorm: null, factor: 1 });

interface AttentionShape {
  readonly hidden: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
}

/** Causal grouped attention with `q_proj`, `k_proj`, `v_proj` and `o_proj` under `path`, rotated by the graph's first rope. */
export function attention(
  path: string,
  { hidden, heads, kvHeads, headDim }: AttentionShape,
  biases: { readonly qkv: boolean; readonly output: boolean } = { qkv: false, output: false },
): Attention {
  return {
    kind: 'attention',
    heads,
    kvHeads,
    headDim,
    query: linear(`${path}.q_proj`, hidden, heads * headDim, biases.qkv),
    key: linear(`${path}.k_proj`, hidden, kvHeads * headDim, biases.qkv),
    value: linear(`${path}.v_proj`, hidden, kvHeads * headDim, biases.qkv),
    output: linear(`${path}.o_proj`, heads * headDim, hidden, biases.output),
    queryNorm: null,
    keyNorm: null,
    queryRope: 0,
    keyRope: 0,
    scale: headDim ** -0.5,
    window: 0,
    softCap: 0,
    sinks: null,
    mask: 'causal',
  };
}

/** Gated SiLU network with `gate_proj`, `up_proj` and `down_proj` under `path`. */
export const gated = (path: string, hidden: number, intermediate: number, bias = false): GatedNetwork => ({
  kind: 'gated',
  gate: linear(`${path}.gate_proj`, hidden, intermediate, bias),
  up: linear(`${path}.up_proj`, hidden, intermediate, bias),
  down: linear(`${path}.down_proj`, intermediate, hidden, bias),
  activation: { kind: 'silu' },
});

type Rule = Pick<Router, 'take' | 'score' | 'normalise'>;

/** SiLU experts with stacked `gate_proj`, `up_proj` and `down_proj` under `path`, chosen by the matrix `router`. */
export const experts = (
  router: string,
  path: string,
  hidden: number,
  intermediate: number,
  count: number,
  rule: Rule,
  bias = false,
): Experts & { readonly gate: Linear } => ({
  kind: 'experts',
  router: { linear: linear(router, hidden, count, bias), factor: 1, correction: null, groups: null, ...rule },
  gate: stack(count, `${path}.gate_proj`, hidden, intermediate, bias),
  up: stack(count, `${path}.up_proj`, hidden, intermediate, bias),
  down: stack(count, `${path}.down_proj`, intermediate, hidden, bias),
  activation: { kind: 'silu' },
  shared: null,
  sharedGate: null,
});

/** Outputs of both branches are multiplied before they are added. */
export const scaled = (layer: Layer, factor: number): Layer => ({
  ...layer,
  mixer: layer.mixer && { ...layer.mixer, factor },
  feedForward: layer.feedForward && { ...layer.feedForward, factor },
});

interface MambaShape {
  readonly hidden: number;
  readonly heads: number;
  readonly headDim: number;
  readonly groups: number;
  readonly state: number;
  readonly kernel: number;
  readonly bias: boolean;
  readonly convolutionBias: boolean;
  readonly stepLimits: readonly [number, number];
  readonly epsilon: number;
  readonly normGroups: number;
}

/** Mamba 2 with one fused projection `in_proj` (gate, x, B, C, steps), `conv1d`, `norm` and `out_proj` under `path`. */
export function mamba2Mixer(path: string, shape: MambaShape): StateSpace {
  const { hidden, heads, headDim, groups, state, kernel, bias, convolutionBias, stepLimits, epsilon, normGroups } = shape;
  const [inner, shared] = [heads * headDim, groups * state];
  const [gate, x, b, c, step] = fused(`${path}.in_proj`, hidden, [inner, inner, shared, shared, heads], bias);
  return {
    kind: 'state-space',
    heads,
    groups,
    headDim,
    state,
    gate: gate!,
    x: x!,
    b: b!,
    c: c!,
    step: step!,
    convolution: { path: `${path}.conv1d`, channels: inner + 2 * shared, kernel, bias: convolutionBias },
    decay: `${path}.A_log`,
    skip: `${path}.D`,
    stepBias: `${path}.dt_bias`,
    stepLimits,
    norm: rmsNorm(`${path}.norm`, inner, epsilon),
    normGroups,
    output: linear(`${path}.out_proj`, inner, hidden, bias),
  };
}
