import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { embedDataSchema, embeddingReply, envelopeSchema, rerankReply } from '../../src/contract/index.ts';
import { createTestHome, type Started, type TestHome } from '../support/hearth-process.ts';
import { runInProcess } from '../support/run-cli.ts';
import { ENCODER_COMMIT, installTinyEncoder, TINY_ENCODER, writeTinyEncoder } from '../support/tiny-encoder.ts';
import { installTinyModel } from '../support/tiny-model.ts';

const BGE = 'hearth-test/bge-tiny';
const E5 = 'hearth-test/e5-tiny';
const RERANKER = 'hearth-test/tiny-reranker';
const SENTENCE = 'Represent this sentence for searching relevant passages: ';

interface Row {
  readonly text: string;
  readonly embedding: readonly number[];
  readonly metadata: { readonly model: string; readonly dimensions: number; readonly content_hash: string | null; readonly device: string };
  readonly [field: string]: unknown;
}
/** Vectors of one text in batches of other sizes may differ in the last bits. */
const expectNear = (vector: unknown, other: unknown) => {
  const [a, b] = [vector, other] as number[][];
  expect(a).toHaveLength(b!.length);
  for (const [i, value] of a!.entries()) expect(value).toBeCloseTo(b![i]!, 5);
};
const length = (vector: readonly number[]): number => Math.hypot(...vector);
const lines = (text: string): Row[] =>
  text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Row);

let home: TestHome;
beforeAll(async () => {
  home = await createTestHome();
  await installTinyModel(home.hfHome);
  await installTinyEncoder(home.hfHome);
  await installTinyEncoder(home.hfHome, RERANKER, 'bert-reranker');
  // Without the files that say it, the family's rule decides.
  for (const name of [BGE, E5]) await rm(join(await installTinyEncoder(home.hfHome, name), '1_Pooling'), { recursive: true });
  const declared = await installTinyEncoder(home.hfHome, 'hearth-test/declared');
  const config = JSON.parse(await readFile(join(declared, 'config.json'), 'utf8')) as Record<string, unknown>;
  await writeFile(join(declared, 'config.json'), JSON.stringify({ ...config, model_type: 'xlm-roberta' }));
});
afterAll(async () => {
  await home[Symbol.asyncDispose]();
});

describe('hearth embed', () => {
  const embed = async (args: readonly string[], stdin?: string) => {
    const from = stdin === undefined ? {} : { stdin: Readable.from([Buffer.from(stdin)]) };
    return await runInProcess(['embed', ...args], { directory: home.directory, ...from });
  };
  const vector = async (...args: string[]): Promise<readonly number[]> => {
    const { code, stdout, stderr } = await embed(args);
    expect([code, stderr]).toEqual([0, '']);
    return lines(stdout)[0]!.embedding;
  };

  it('[store K113] prints a JSON line for a text, from a word or from stdin, and the envelope with --json', async () => {
    const { code, stdout } = await embed(['tiny-bert', 'hello there']);
    expect(code).toBe(0);
    const [record, ...more] = lines(stdout);
    expect(more).toEqual([]);
    expect(record).toMatchObject({ text: 'hello there', metadata: { model: TINY_ENCODER, dimensions: 48, content_hash: ENCODER_COMMIT, device: 'cpu' } });
    expect(record!.embedding).toHaveLength(48);
    expect(length(record!.embedding)).toBeCloseTo(1, 6);
    for (const args of [['tiny-bert', '-'], ['tiny-bert']]) expect((await embed(args, 'hello there\n')).stdout).toBe(stdout);
    const envelope = envelopeSchema.parse(JSON.parse((await embed(['tiny-bert', '--json', 'hello there'])).stdout));
    expect(envelope.command).toBe('embed');
    expect(embedDataSchema.parse(envelope.data).records).toEqual([record]);
  });

  it('[store K113] a batch keeps the order and the other fields of its lines, and a bad line is named by its number', async () => {
    const given = Array.from({ length: 150 }, (_, id) => ({ id, nested: { id: [id] }, text: `text ${String.fromCharCode(65 + (id % 50))}` }));
    const { code, stdout } = await embed(['tiny-bert', '--batch'], given.map((line) => `${JSON.stringify(line)}\n`).join('\n'));
    expect(code).toBe(0);
    const records = lines(stdout);
    expect(records.map(({ id, nested, text }) => ({ id, nested, text }))).toEqual(given);
    expectNear(records[7]!.embedding, await vector('tiny-bert', given[7]!.text));
    for (const bad of ['{"txt":"x"}', 'no json', '["text"]', '{"text":3}']) {
      const refused = await embed(['tiny-bert', '--batch', '--json'], `{"text":"fine"}\n\n${bad}\n`);
      expect(refused.code).toBe(1);
      expect(JSON.parse(refused.stdout)).toMatchObject({ error: { type: 'ValidationError', message: expect.stringContaining('Line 3') } });
    }
    expect((await embed(['tiny-bert', '--batch'], '')).code).toBe(1);
    expect((await embed(['tiny-bert', '--batch', 'a word'], '{"text":"x"}')).code).toBe(1);
  });

  it('[store K113] queries get the prefix of their family, and a task where the model takes one', async () => {
    // Through a daemon, which keeps what it has loaded.
    const server = home.start(['serve', '--json', '--port', '0']);
    await server.waitFor('stdout', /\n\}\n/);
    expect(await vector('bge-tiny', '--query', 'abc')).toEqual(await vector('bge-tiny', `${SENTENCE}abc`));
    expect(await vector('bge-tiny', '--instruct', 'Find the word', 'abc')).toEqual(await vector('bge-tiny', 'Find the word: abc'));
    expect(await vector('e5-tiny', '--query', 'abc')).not.toEqual(await vector('e5-tiny', 'abc'));
    expect(await vector('tiny-bert', '--query', 'abc')).toEqual(await vector('tiny-bert', 'abc'));
    const refused = await embed(['e5-tiny', '--instruct', 'Find the word', 'abc', '--json']);
    expect(JSON.parse(refused.stdout)).toMatchObject({ error: { code: 'unsupported_parameter' } });
    server.child.kill('SIGTERM');
    await server.ended;
  });

  it('cuts a text that is longer than the model reads, and says so', async () => {
    const { code, stdout, stderr } = await embed(['tiny-bert', 'A'.repeat(90)]);
    expect([code, stderr]).toEqual([0, expect.stringContaining('its end was cut')]);
    // 64 places with [CLS] and [SEP] around 62 letters.
    expect(lines(stdout)[0]!.embedding).toEqual(await vector('tiny-bert', 'A'.repeat(62)));
  });

  it('takes a directory by its path, without its place in the output', async () => {
    await writeTinyEncoder(join(home.directory, 'mine'));
    const { code, stdout } = await embed(['./mine', 'abc']);
    expect(code).toBe(0);
    expect(lines(stdout)[0]!.metadata).toMatchObject({ model: 'mine', content_hash: null });
    expect(stdout).not.toContain(home.directory);
  });

  it('refuses what is no embedder and what no engine can run, with their codes', async () => {
    const codeOf = async (model: string) => (JSON.parse((await embed([model, 'x', '--json'])).stdout) as { error: { code: string } }).error.code;
    expect(await codeOf('tiny-llama')).toBe('not_an_embedder');
    expect(await codeOf('declared')).toBe('not_implemented');
    expect(await codeOf('nothing-here')).toBe('model_not_found');
  });
});

describe('/v1/embeddings', () => {
  let server: Started;
  let base: string;
  beforeAll(async () => {
    server = home.start(['serve', '--json', '--port', '0']);
    const { data } = JSON.parse(await server.waitFor('stdout', /\n\}\n/)) as { data: { port: number } };
    base = `http://127.0.0.1:${data.port}`;
  });
  afterAll(async () => {
    server.child.kill('SIGTERM');
    await server.ended;
  });
  const post = async (path: string, body: unknown) => {
    const response = await fetch(`${base}${path}`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
    return { status: response.status, headers: response.headers, json: (await response.json()) as Record<string, unknown> };
  };
  const embed = async (input: unknown, more: Record<string, unknown> = {}) => {
    const { status, json } = await post('/v1/embeddings', { model: 'tiny-bert', input, ...more });
    expect(status).toBe(200);
    return embeddingReply.parse(json);
  };
  const codeOf = ({ status, json }: { status: number; json: Record<string, unknown> }) => [status, (json['error'] as { code: string }).code];

  it('[store K114] [serving V37] base64 holds the bits of the floats, the order is kept, and the fingerprint names content and device', async () => {
    const texts = ['one', 'two', 'three', 'one'];
    const floats = await embed(texts);
    const packed = await embed(texts, { encoding_format: 'base64' });
    expect(floats.data.map(({ index }) => index)).toEqual([0, 1, 2, 3]);
    for (const [i, { embedding }] of packed.data.entries()) {
      const bytes = Uint8Array.from(Buffer.from(embedding as string, 'base64'));
      expect([...new Float32Array(bytes.buffer)]).toEqual(floats.data[i]!.embedding);
    }
    expectNear(floats.data[3]!.embedding, floats.data[0]!.embedding);
    expect(floats.data[1]!.embedding).not.toEqual(floats.data[0]!.embedding);
    expect(floats.system_fingerprint).toBe(`${ENCODER_COMMIT.slice(0, 8)}.cpu`);
    expect(floats.usage.prompt_tokens).toBe(3 + 3 + 5 + 3 + 4 * 2);
    // What the official client reads, which asks for base64 by itself.
    const openai = new OpenAI({ baseURL: `${base}/v1`, apiKey: 'any', maxRetries: 0 });
    const { data } = await openai.embeddings.create({ model: TINY_ENCODER, input: texts });
    expect(data.map(({ embedding }) => embedding)).toEqual(floats.data.map(({ embedding }) => embedding));
  });

  it('[store K114] [serving V38] wrong dimensions are refused and native ones are not; token ids are taken as they are', async () => {
    const request = { model: 'tiny-bert', input: 'x' };
    expect(codeOf(await post('/v1/embeddings', { ...request, dimensions: 24 }))).toEqual([400, 'invalid_value']);
    expect(codeOf(await post('/v1/embeddings', { ...request, dimensions: 96 }))).toEqual([400, 'invalid_value']);
    expect((await embed('x', { dimensions: 48 })).data[0]!.embedding).toHaveLength(48);
    expect(codeOf(await post('/v1/embeddings', { ...request, encoding_format: 'hex' }))).toEqual([400, 'invalid_value']);
    // [CLS] A [SEP]
    expectNear((await embed([2, 4, 3])).data[0]!.embedding, (await embed('A')).data[0]!.embedding);
    const pair = [
      [2, 4, 3],
      [2, 5, 3],
    ];
    expectNear((await embed(pair)).data[1]!.embedding, (await embed('B')).data[0]!.embedding);
    expect(codeOf(await post('/v1/embeddings', { ...request, input: '' }))).toEqual([400, 'invalid_value']);
    expect(codeOf(await post('/v1/embeddings', { ...request, input: [] }))).toEqual([400, 'invalid_value']);
    const many = Array.from({ length: 256 }, (_, i) => `text ${String.fromCharCode(65 + (i % 50))}`);
    const { data } = await embed(many);
    expect(data.map(({ index }) => index)).toEqual(many.map((_, i) => i));
    for (const i of [0, 49, 255]) expectNear(data[i]!.embedding, (await embed(many[i]!)).data[0]!.embedding);
  });

  it('refuses an input that is too long, or cuts it and names it', async () => {
    const input = ['short', 'A'.repeat(100)];
    expect(codeOf(await post('/v1/embeddings', { model: 'tiny-bert', input }))).toEqual([400, 'context_length_exceeded']);
    const cut = await post('/v1/embeddings', { model: 'tiny-bert', input, truncate: true });
    expect([cut.status, cut.headers.get('x-hearth-truncated')]).toEqual([200, '1']);
  });

  it('answers 400 for a model without vectors and 501 for an encoder that is known by name only', async () => {
    expect(codeOf(await post('/v1/embeddings', { model: 'tiny-llama', input: 'x' }))).toEqual([400, 'not_an_embedder']);
    expect(codeOf(await post('/v1/embeddings', { model: 'hearth-test/declared', input: 'x' }))).toEqual([501, 'not_implemented']);
    expect(codeOf(await post('/v1/embeddings', { model: 'nobody', input: 'x' }))).toEqual([404, 'model_not_found']);
  });

  it('[serving V39] ranks documents under all four names, best first', async () => {
    const documents = ['a rose', { text: 'the sky at noon' }, 'coal', 'x'];
    const body = { model: 'tiny-reranker', query: 'what is red', documents };
    const { status, json } = await post('/v1/rerank', body);
    expect(status).toBe(200);
    const { results, usage } = rerankReply.parse(json);
    expect(results.map(({ index }) => index).sort()).toEqual([0, 1, 2, 3]);
    const scores = results.map((row) => row.relevance_score);
    expect(scores).toEqual([...scores].sort((a, b) => b - a));
    expect(results.find(({ index }) => index === 1)?.document).toEqual({ text: 'the sky at noon' });
    expect(usage.prompt_tokens).toBeGreaterThan(30);
    for (const path of ['/rerank', '/v1/reranking', '/reranking']) {
      const short = rerankReply.parse((await post(path, { ...body, top_n: 2, return_documents: false })).json);
      expect(short.results.map(({ index }) => index)).toEqual(results.slice(0, 2).map(({ index }) => index));
      expect(short.results.every((row) => !('document' in row))).toBe(true);
      // How many rows one step evaluates follows the speed of the machine, and with it the last bits of a score.
      expectNear(
        short.results.map((row) => row.relevance_score),
        scores.slice(0, 2),
      );
    }
    expect(codeOf(await post('/v1/rerank', { ...body, model: 'tiny-llama' }))).toEqual([400, 'not_an_embedder']);
  });
});

describe('[store K115] --embed-backend', () => {
  let backend: Server;
  let seen: { url: string; body: Buffer; type: string | undefined }[];
  let answer: { status: number; body: string };
  const listening = (server: Server) => new Promise<number>((resolve) => server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port)));
  const through = async (port: number, send: (base: string) => Promise<void>) => {
    await mkdir(home.home, { recursive: true });
    const server = home.start(['serve', '--json', '--port', '0', '--embed-backend', `http://127.0.0.1:${port}`]);
    const { data } = JSON.parse(await server.waitFor('stdout', /\n\}\n/)) as { data: { port: number; embed_backend: string } };
    expect(data.embed_backend).toBe(`http://127.0.0.1:${port}`);
    await send(`http://127.0.0.1:${data.port}/v1/embeddings`);
    server.child.kill('SIGTERM');
    await server.ended;
  };
  const post = (url: string, body: string, type = 'application/json') => fetch(url, { method: 'POST', headers: { 'content-type': type }, body });

  beforeAll(async () => {
    seen = [];
    answer = { status: 200, body: '{"object":"list"}' };
    backend = createServer(async (request, response) => {
      const pieces: Buffer[] = [];
      for await (const piece of request) pieces.push(piece as Buffer);
      seen.push({ url: request.url ?? '', body: Buffer.concat(pieces), type: request.headers['content-type'] });
      response.writeHead(answer.status, { 'content-type': 'application/json' }).end(answer.body);
    });
  });
  afterAll(() => backend.close());

  it('sends the body on byte for byte, also one that this server could not read, and gives the answer back as it came', async () => {
    const port = await listening(backend);
    await through(port, async (url) => {
      const body = '{ "model":"any",\n "input": ["ü", "\\u00fc"],  "dimensions":1e1, "dimensions":2, "own":{}}';
      const response = await post(url, body);
      expect([response.status, await response.text()]).toEqual([200, answer.body]);
      expect(seen.at(-1)).toEqual({ url: '/v1/embeddings', body: Buffer.from(body), type: 'application/json' });
      answer = { status: 422, body: '{"error": "of the backend"}' };
      const refused = await post(url, 'no json at all');
      expect([refused.status, await refused.text(), seen.at(-1)!.body.toString()]).toEqual([422, answer.body, 'no json at all']);
      expect((await post(url, '{}', 'text/plain')).status).toBe(415);
      expect(seen).toHaveLength(2);
    });
  });

  it('answers 502 when the backend is away', async () => {
    const gone = createServer();
    const port = await listening(gone);
    await new Promise((resolve) => gone.close(resolve));
    await through(port, async (url) => {
      const response = await post(url, '{}');
      expect([response.status, await response.json()]).toEqual([
        502,
        expect.objectContaining({ error: expect.objectContaining({ code: 'upstream_unreachable' }) }),
      ]);
    });
  });
});
