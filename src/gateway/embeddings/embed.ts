import type { EmbeddingReply, EmbeddingRequest, RerankReply, RerankRequest } from '../../contract/index.ts';
import { HearthError, isHearthError } from '../../core/index.ts';
import type { Gateway } from '../gateway.ts';
import type { ResolvedModel } from '../model-source.ts';
import { embeddingRule, shorterDimensions } from './embedding-rules.ts';
import { readEmbeddingFacts } from './read-embedding-facts.ts';

type Door = Pick<Gateway, 'resolve' | 'target' | 'withSession' | 'stateOf'>;

export interface EmbedCall {
  readonly body: EmbeddingRequest;
  readonly signal: AbortSignal;
  /** Cut inputs that are too long where the request does not say (`embeddings.truncate`). */
  readonly truncate: boolean;
}

/** POST /v1/embeddings (docs/spec/serving.md §2.5, store.md §11). Throws not_an_embedder, not_implemented, context_length_exceeded, 400s. */
export async function embed(gateway: Door, { body, signal, truncate }: EmbedCall): Promise<EmbeddingReply> {
  const model = await gateway.resolve(body.model, signal);
  await checkEmbedder(gateway, model);
  const name = model.name ?? model.id;
  const rule = embeddingRule(name, await readEmbeddingFacts(model.facts));
  const prefix = prefixOf(body, rule, model.id);
  const inputs = inputsOf(body.input).map((input) => (typeof input === 'string' ? prefix + input : input));
  const empty = inputs.findIndex((input) => input.length === 0);
  if (empty >= 0) throw invalid('input', `Input ${empty} is empty.`);
  const cut = body.truncate ?? truncate;
  const { vectors, promptTokens, truncated, state } = await gateway.withSession(model, signal, async (session) => ({
    ...(await session.embed(inputs, { ...(rule.pooling === null ? {} : { pooling: rule.pooling }), ...(cut ? { truncate: true } : {}), signal })),
    state: gateway.stateOf(model),
  }));
  const device = deviceOf(state?.device);
  const sized = vectors.map((vector) => resized(vector, body.dimensions ?? null, shorterDimensions(name, model.facts.config), model.id));
  const total = promptTokens.reduce((sum, count) => sum + count, 0);
  return {
    object: 'list',
    data: sized.map((vector, index) => ({ object: 'embedding', index, embedding: body.encoding_format === 'base64' ? base64(vector) : [...vector] })),
    model: model.id,
    usage: { prompt_tokens: total, total_tokens: total },
    system_fingerprint: fingerprint(model.hash, device),
    hearth: {
      engine: state?.engine ?? '',
      model: { name, hash: model.hash },
      device,
      dimensions: sized[0]!.length,
      truncated: [...(truncated ?? [])],
    },
  };
}

/** POST /v1/rerank: the model's own judgement where it is a classifier, else the likeness of the vectors. */
export async function rerank(gateway: Door, body: RerankRequest, signal: AbortSignal): Promise<RerankReply> {
  const model = await gateway.resolve(body.model, signal);
  await checkEmbedder(gateway, model);
  const documents = body.documents.map((document) => (typeof document === 'string' ? document : document.text));
  const empty = documents.indexOf('');
  if (empty >= 0) throw invalid(`documents.${empty}`, `Document ${empty} is empty.`);
  const { scores, promptTokens } = await gateway.withSession(model, signal, (session) => session.rerank(body.query, documents, signal));
  const ranked = scores.map((score, index) => ({ index, relevance_score: score })).sort((a, b) => b.relevance_score - a.relevance_score || a.index - b.index);
  const withText = body.return_documents ?? true;
  return {
    model: model.id,
    usage: { prompt_tokens: promptTokens, total_tokens: promptTokens },
    results: ranked.slice(0, body.top_n ?? ranked.length).map((row) => (withText ? { ...row, document: { text: documents[row.index]! } } : row)),
  };
}

/** Refused before anything is loaded: what is no embedder, and encoders that are known by name only. */
async function checkEmbedder(gateway: Door, model: ResolvedModel): Promise<void> {
  const param = { details: { param: 'model' } };
  if (model.adapter !== undefined) throw new HearthError('unsupported_parameter', 'Vectors are those of the base model: name it without an adapter.', param);
  if (model.capabilities !== undefined && !model.capabilities.includes('embeddings'))
    throw new HearthError('not_an_embedder', `${model.id} is no embedding model.`, param);
  const cannot = (cause?: unknown) =>
    new HearthError('not_implemented', `${model.id} is an embedding model of the type ${model.facts.architecture}, which no engine here can run yet.`, {
      cause,
      ...param,
    });
  const { capabilities } = await gateway.target(model).catch((error: unknown) => {
    throw isHearthError(error) && error.code === 'capability_mismatch' ? cannot(error) : error;
  });
  if (!capabilities.embeddings) throw cannot();
}

function prefixOf(body: EmbeddingRequest, rule: ReturnType<typeof embeddingRule>, id: string): string {
  const task = body.instruct ?? null;
  if (task !== null && body.input_type === 'document') throw invalid('instruct', 'An instruction belongs to a query, not to a document.');
  if (task === null && body.input_type !== 'query') return rule.documentPrefix;
  const prefix = rule.queryPrefix(task);
  if (prefix === null) throw new HearthError('unsupported_parameter', `${id} takes no instruction with its queries.`, { details: { param: 'instruct' } });
  return prefix;
}

function inputsOf(input: EmbeddingRequest['input']): readonly (string | readonly number[])[] {
  if (typeof input === 'string') return [input];
  return typeof input[0] === 'number' ? [input as number[]] : (input as (string | number[])[]);
}

/** The first `size` numbers, with length 1 again, where the model was trained for that. */
function resized(vector: Float32Array, size: number | null, fits: ((size: number) => boolean) | null, id: string): Float32Array {
  if (size === null || size === vector.length) return vector;
  if (size > vector.length || !fits?.(size)) throw invalid('dimensions', `${id} gives vectors of ${vector.length} numbers, not of ${size}.`);
  const part = vector.slice(0, size);
  const length = Math.hypot(...part);
  return part.map((value) => value / length);
}

const deviceOf = (device: string | null | undefined): 'cpu' | 'gpu' => (device === undefined || device === null || /^(cpu|none)/i.test(device) ? 'cpu' : 'gpu');

/** Vectors of another model, content or device must not be compared with these. */
const fingerprint = (hash: string | null, device: string): string => `${hash === null ? 'nohash' : hash.replace(/^sha256:/, '').slice(0, 8)}.${device}`;

const base64 = (values: Float32Array): string => Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString('base64');

const invalid = (param: string, message: string): HearthError => new HearthError('invalid_value', message, { details: { param } });
