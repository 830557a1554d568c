import { GELU_FORM, type Kernels } from '../kernel-interface.ts';
import type { NetworkPlacement } from '../load/rank-plan.ts';
import type { Activation } from '../models/model-graph.ts';
import type { FeedForward, RankContext } from './rank-context.ts';

/** out = activation(gate) · up, over n values; out may be gate. */
export type GatedActivation = (gate: number, up: number, out: number, n: number) => void;

export function createGatedActivation(kernels: Kernels, activation: Activation): GatedActivation {
  if (activation.kind === 'silu') return (gate, up, out, n) => kernels.siluMultiply(gate, up, out, n);
  if (activation.kind === 'gelu') {
    const form = GELU_FORM[activation.form];
    return (gate, up, out, n) => kernels.geluMultiply(gate, up, out, n, form);
  }
  if (activation.kind === 'relu2') throw new Error('A gated network with squares cannot be run.');
  const { alpha, limit } = activation;
  return (gate, up, out, n) => kernels.swigluClamped(gate, up, out, n, alpha, limit);
}

/** x = activation(x) over n values. */
export function createPlainActivation({ kernels }: RankContext, activation: Activation): (x: number, n: number) => void {
  if (activation.kind === 'gelu') {
    const form = GELU_FORM[activation.form];
    return (x, n) => kernels.gelu(x, x, n, form);
  }
  if (activation.kind !== 'relu2') throw new Error(`A plain network with the activation ${activation.kind} cannot be run.`);
  return (x, n) => kernels.squaredRelu(x, x, n);
}

/** A dense network, over the rank's share of its intermediate values. */
export function createNetwork(context: RankContext, network: NetworkPlacement): FeedForward {
  const { kernels, buffers, matrices } = context;
  const { width, gate, up, down, activation } = network;
  if (up === null || down === null) return () => {};
  if (gate === null) {
    const activate = createPlainActivation(context, activation);
    return (x, y, tokens) => {
      matrices.input(x, tokens);
      matrices.multiply(up, buffers.up);
      activate(buffers.up, tokens * width);
      matrices.input(buffers.up, tokens);
      matrices.multiply(down, y);
    };
  }
  const activate = createGatedActivation(kernels, activation);
  return (x, y, tokens) => {
    matrices.input(x, tokens);
    matrices.multiply(gate, buffers.gate);
    matrices.multiply(up, buffers.up);
    activate(buffers.gate, buffers.up, buffers.gate, tokens * width);
    matrices.input(buffers.gate, tokens);
    matrices.multiply(down, y);
  };
}
