import { experts, gated } from './blocks.ts';
import { flag, integer, numberOr, wrongValue } from './config-keys.ts';
import { ERNIE_KEYS, ernieDecoder } from './ernie4-5.ts';
import type { Architecture, Linear, ModelConfig } from './model-graph.ts';

/** ERNIE 4.5 with experts: scores of all, the best are taken and their weights divided by the sum; some layers stay dense. */
export const ernie45Moe: Architecture = {
  modelType: 'ernie4_5_moe',
  // The correction of the scores (moe_use_aux_free) and the capacity are of training.
  keys: [
    ...[...ERNIE_KEYS, 'moe_num_experts', 'moe_k', 'moe_intermediate_size', 'moe_num_shared_experts', 'moe_gate_act', 'moe_capacity'],
    ...['moe_layer_start_index', 'moe_layer_end_index', 'moe_layer_interval', 'moe_use_aux_free', 'moe_norm_min', 'num_nextn_predict_layers'],
  ],
  graph(config) {
    const score = config['moe_gate_act'] ?? 'softmax';
    if (score !== 'softmax' && score !== 'sigmoid') throw wrongValue('moe_gate_act', score, 'softmax or sigmoid');
    const [hidden, count] = [integer(config, 'hidden_size'), integer(config, 'moe_num_experts')];
    const width = numberOr(config, 'moe_intermediate_size', 0) || integer(config, 'intermediate_size');
    const sharedWidth = width * numberOr(config, 'moe_num_shared_experts', 0);
    const bias = flag(config, 'use_bias', false);
    const rule = { take: integer(config, 'moe_k', 1), score, normalise: true } as const;
    const hasExperts = expertLayers(config);
    return ernieDecoder(config, {
      layer(layer, i, path) {
        if (!hasExperts(i)) return layer;
        const plain = experts(`${path}.mlp.gate`, `${path}.mlp.switch_mlp`, hidden, width, count, rule);
        const own = (part: Linear): Linear => ({ ...part, bias });
        const shared = sharedWidth > 0 ? gated(`${path}.mlp.shared_experts`, hidden, sharedWidth, bias) : null;
        return { ...layer, feedForward: { ...layer.feedForward, body: { ...plain, gate: own(plain.gate), up: own(plain.up), down: own(plain.down), shared } } };
      },
    });
  },
};

/** Layers from the first to the last index (of lists: the smallest and the largest; a last of −1 is the last layer), at the interval. */
function expertLayers(config: ModelConfig): (layer: number) => boolean {
  const interval = integer(config, 'moe_layer_interval', 1);
  const bound = (key: string, fallback: number, pick: (...values: number[]) => number) => {
    const given = config[key];
    if (given === -1) return fallback;
    return Array.isArray(given) && given.every((value) => typeof value === 'number') ? pick(...given) : numberOr(config, key, fallback);
  };
  const first = bound('moe_layer_start_index', 0, Math.min);
  const last = bound('moe_layer_end_index', integer(config, 'num_hidden_layers') - 1, Math.max);
  return (layer) => (layer + 1) % interval === 0 && layer >= first && layer <= last;
}
