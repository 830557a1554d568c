/** How texts become vectors where a model's own files do not say it: by its family (docs/spec/store.md §11). Pure. */

export type Pooling = 'cls' | 'mean' | 'last';

export interface EmbeddingRule {
  /** null: as the model's files say, or the engine's own choice for decoders. */
  readonly pooling: Pooling | null;
  /** Text in front of a query; `task` is what the caller is looking for. null: the model takes no task. */
  queryPrefix(task: string | null): string | null;
  readonly documentPrefix: string;
}

/** What sentence-transformers wrote beside the weights. */
export interface EmbeddingFacts {
  /** A 1_Pooling/config.json or a GGUF key names the pooling. */
  readonly declaresPooling: boolean;
  /** Texts of config_sentence_transformers.json by their name. */
  readonly prompts: Readonly<Record<string, string>>;
  /** `model_type`, or the architecture of a GGUF file. */
  readonly architecture: string | null;
}

const DEFAULT_TASK = 'Given a web search query, retrieve relevant passages that answer the query';
const SENTENCE_QUERY = 'Represent this sentence for searching relevant passages: ';

/** `name`: the repository, which tells the family. */
export function embeddingRule(name: string, facts: EmbeddingFacts): EmbeddingRule {
  const family = familyOf(name, facts.architecture);
  const rule = FAMILIES[family];
  const { query, document = facts.prompts['passage'] } = facts.prompts;
  return {
    pooling: facts.declaresPooling ? null : rule.pooling,
    queryPrefix: (task) => (task === null && query ? query : rule.queryPrefix(task)),
    documentPrefix: document || rule.documentPrefix,
  };
}

type Family = 'sentence' | 'e5' | 'encoder' | 'decoder';

const FAMILIES: Readonly<Record<Family, EmbeddingRule>> = {
  sentence: { pooling: 'cls', queryPrefix: (task) => (task === null ? SENTENCE_QUERY : `${task.replace(/[:\s]+$/, '')}: `), documentPrefix: '' },
  e5: { pooling: 'mean', queryPrefix: (task) => (task === null ? 'query: ' : null), documentPrefix: 'passage: ' },
  encoder: { pooling: 'mean', queryPrefix: (task) => (task === null ? '' : null), documentPrefix: '' },
  decoder: { pooling: null, queryPrefix: (task) => `Instruct: ${task ?? DEFAULT_TASK}\nQuery:`, documentPrefix: '' },
};

function familyOf(name: string, architecture: string | null): Family {
  if (!/bert/.test(architecture ?? '')) return 'decoder';
  if (/(^|[^a-z])(bge|mxbai)([^a-z]|$)/i.test(name)) return 'sentence';
  return /(^|[^a-z0-9])e5([^a-z0-9]|$)/i.test(name) ? 'e5' : 'encoder';
}

/** Sizes that a vector may be cut to, where its model was trained for it; null: its own size only. */
export function shorterDimensions(name: string, config: Readonly<Record<string, unknown>>): ((size: number) => boolean) | null {
  const listed = config['matryoshka_dimensions'];
  if (Array.isArray(listed)) return (size) => listed.includes(size);
  return /qwen3[-_]?embedding|mxbai-embed-large/i.test(name) ? (size) => size >= 32 : null;
}
