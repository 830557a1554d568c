import { integer } from './config-keys.ts';
import { DECODER_KEYS, layerTypeWindows, readShape, withAttention } from './decoder.ts';
import type { Architecture, ModelConfig } from './model-graph.ts';
import { OLMO, olmo2Decoder } from './olmo2.ts';
import { readRope } from './rope.ts';

/** OLMo 3: OLMo 2 with windows in three of four layers, whose rope is not stretched. */
export const olmo3: Architecture = {
  modelType: 'olmo3',
  keys: [...DECODER_KEYS, 'attention_bias', 'sliding_window', 'layer_types'],
  graph(config) {
    const everyWindow = integer(config, 'sliding_window');
    const window = layerTypeWindows(config) ?? ((layer: number) => ((layer + 1) % 4 === 0 ? 0 : everyWindow));
    const ropes = [config, unstretched(config)].map((each) => readRope(each, readShape(config, OLMO.epsilon).headDim, OLMO).rope);
    return olmo2Decoder(config, { tied: false, ropes }, (layer, i) => {
      const rope = window(i) > 0 ? 1 : 0;
      return withAttention(layer, { window: window(i), queryRope: rope, keyRope: rope });
    });
  },
};

/** The config without what stretches the rope. */
function unstretched({ rope_scaling: _, rope_parameters: nested, ...plain }: ModelConfig): ModelConfig {
  const theta = plain['rope_theta'] ?? (nested as ModelConfig | null | undefined)?.['rope_theta'];
  return theta === undefined ? plain : { ...plain, rope_theta: theta };
}
