import { layerNorm, linear } from './blocks.ts';
import { integer, positive, wrongValue } from './config-keys.ts';
import type { Activation, Architecture, Branch, Layer, ModelConfig, Norm } from './model-graph.ts';

const ACTIVATIONS: Readonly<Record<string, Activation>> = {
  gelu: { kind: 'gelu', form: 'erf' },
  gelu_new: { kind: 'gelu', form: 'tanh' },
  gelu_pytorch_tanh: { kind: 'gelu', form: 'tanh' },
};

/** BERT as an encoder (bge, e5, mxbai, MiniLM): every token sees all, norms lie behind the residual sums; the hidden rows are the output. */
export const bert: Architecture = {
  modelType: 'bert',
  keys: [
    ...['hidden_size', 'num_hidden_layers', 'num_attention_heads', 'intermediate_size', 'vocab_size', 'type_vocab_size', 'max_position_embeddings'],
    ...['hidden_act', 'layer_norm_eps', 'position_embedding_type'],
    // Of training, and of heads that are not run.
    ...['hidden_dropout_prob', 'attention_probs_dropout_prob', 'directionality', 'pooler_fc_size', 'pooler_num_attention_heads', 'pooler_num_fc_layers'],
    ...['pooler_size_per_head', 'pooler_type', 'sentence_transformers', 'sbert_ce_default_activation_function', 'num_labels'],
  ],
  graph(config) {
    const hidden = integer(config, 'hidden_size', 768);
    const vocabulary = integer(config, 'vocab_size', 30_522);
    const positions = integer(config, 'max_position_embeddings', 512);
    const kind = config['position_embedding_type'] ?? 'absolute';
    if (kind !== 'absolute') throw wrongValue('position_embedding_type', kind, 'absolute');
    const root = namePrefix(config);
    const epsilon = positive(config, 'layer_norm_eps', 1e-12);
    const norm = (path: string): Norm => layerNorm(`${path}.LayerNorm`, hidden, epsilon, true);
    return {
      hidden,
      vocabulary,
      contextTokens: positions,
      ropes: [],
      embedding: {
        table: linear(`${root}embeddings.word_embeddings`, hidden, vocabulary),
        factor: 1,
        positions: linear(`${root}embeddings.position_embeddings`, hidden, positions),
        types: linear(`${root}embeddings.token_type_embeddings`, hidden, integer(config, 'type_vocab_size', 2)),
        norm: norm(`${root}embeddings`),
      },
      layers: Array.from({ length: integer(config, 'num_hidden_layers', 12) }, (_, i) => layer(config, `${root}encoder.layer.${i}`, hidden, norm)),
      finalNorm: null,
      head: null,
      ...(scoresPairs(config)
        ? { classifier: { dense: linear('bert.pooler.dense', hidden, hidden, true), output: linear('classifier', hidden, 1, true) } }
        : {}),
      otherTensors: [`${root}pooler.`, `${root}embeddings.position_ids`, 'classifier.', 'cls.'],
    };
  },
};

function layer(config: ModelConfig, path: string, hidden: number, norm: (path: string) => Norm): Layer {
  const heads = integer(config, 'num_attention_heads', 12);
  const headDim = hidden / heads;
  if (headDim % 8 !== 0) throw wrongValue('num_attention_heads', heads, `a divisor that leaves heads of a multiple of 8 out of ${hidden} values`);
  const intermediate = integer(config, 'intermediate_size', 3072);
  const activation = ACTIVATIONS[String(config['hidden_act'] ?? 'gelu')];
  if (!activation) throw wrongValue('hidden_act', config['hidden_act'], Object.keys(ACTIVATIONS).join(' or '));
  const projection = (name: string) => linear(`${path}.attention.self.${name}`, hidden, hidden, true);
  const behind = <Body>(body: Body, residualNorm: Norm): Branch<Body> => ({ norm: null, body, outputNorm: null, residualNorm, factor: 1 });
  return {
    mixer: behind(
      {
        kind: 'attention',
        heads,
        kvHeads: heads,
        headDim,
        query: projection('query'),
        key: projection('key'),
        value: projection('value'),
        output: linear(`${path}.attention.output.dense`, hidden, hidden, true),
        queryNorm: null,
        keyNorm: null,
        queryRope: null,
        keyRope: null,
        scale: headDim ** -0.5,
        window: 0,
        softCap: 0,
        sinks: null,
        mask: 'full',
      },
      norm(`${path}.attention.output`),
    ),
    feedForward: behind(
      {
        kind: 'plain',
        up: linear(`${path}.intermediate.dense`, hidden, intermediate, true),
        down: linear(`${path}.output.dense`, intermediate, hidden, true),
        activation,
      },
      norm(`${path}.output`),
    ),
    parallel: false,
  };
}

/** A classifier with one label is a reranker. */
function scoresPairs(config: ModelConfig): boolean {
  const names = config['architectures'];
  const labels = config['id2label'];
  const count = typeof labels === 'object' && labels !== null ? Object.keys(labels).length : (config['num_labels'] ?? 2);
  return Array.isArray(names) && names.includes('BertForSequenceClassification') && count === 1;
}

/** Checkpoints of a bert with a head of its own keep the encoder under `bert.`. */
function namePrefix(config: ModelConfig): string {
  const names = config['architectures'];
  return Array.isArray(names) && names.length > 0 && !names.includes('BertModel') ? 'bert.' : '';
}
