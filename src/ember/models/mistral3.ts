import { refuseUnknownKeys, wrongValue } from './config-keys.ts';
import { decoder, layerTypeWindows, withAttention } from './decoder.ts';
import { ministral3, ministral3Decoder } from './ministral3.ts';
import { mistral } from './mistral.ts';
import type { Architecture, ModelConfig } from './model-graph.ts';

const PLACE = { tied: false, prefix: 'language_model.' };

/** The text part of the multimodal Mistrals: `text_config` describes a mistral or a ministral3, whose tensors lie under `language_model.`. */
export const mistral3: Architecture = {
  modelType: 'mistral3',
  // What is said of images does not change the text.
  keys: [
    ...['text_config', 'vision_config', 'tie_word_embeddings', 'image_token_index', 'image_token_id', 'multimodal_projector_bias'],
    ...['projector_hidden_act', 'spatial_merge_size', 'vision_feature_layer'],
  ],
  graph(config) {
    const text = config['text_config'] as ModelConfig | null;
    if (text === null || typeof text !== 'object') throw wrongValue('text_config', text, 'an object');
    const otherTensors = ['vision_tower.', 'multi_modal_projector.'];
    if (text['model_type'] === 'ministral3') {
      refuseUnknownKeys(ministral3, text);
      return { ...ministral3Decoder(text, PLACE), otherTensors };
    }
    if (text['model_type'] !== 'mistral') throw wrongValue('text_config.model_type', text['model_type'], 'mistral or ministral3');
    refuseUnknownKeys(mistral, text);
    const window = layerTypeWindows(text) ?? (() => 0);
    const graph = decoder(text, { ...PLACE, theta: 10_000, maxPositions: 131_072, layer: (layer, i) => withAttention(layer, { window: window(i) }) });
    return { ...graph, otherTensors };
  },
};
