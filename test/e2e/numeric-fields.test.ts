import { afterAll, beforeAll, expect, test } from 'vitest';
import { type EndpointDefinition, endpoints, errorReply, openApiDocument } from '../../src/contract/index.ts';
import { type HttpFixture, startHttp } from '../support/http-fixture.ts';

let server: HttpFixture;
beforeAll(async () => {
  server = await startHttp();
});
afterAll(() => server[Symbol.asyncDispose]());

/** A body of each route that is right but for what the test changes. */
const GOOD: Record<string, Record<string, unknown>> = {
  chatCompletions: { model: 'org/fake', messages: [{ role: 'user', content: 'x' }] },
  completions: { model: 'org/fake', prompt: 'x' },
  tokenize: { model: 'org/fake', content: 'x' },
  detokenize: { model: 'org/fake', tokens: [1] },
  applyTemplate: { model: 'org/fake', messages: [{ role: 'user', content: 'x' }] },
  loadModel: { model: 'org/fake' },
  unloadModel: { model: 'org/fake' },
  storePull: { model: 'org/fake' },
  embeddings: { model: 'org/fake', input: 'x' },
  rerank: { model: 'org/fake', query: 'x', documents: ['y'] },
  createMessage: { model: 'org/fake', max_tokens: 8, messages: [{ role: 'user', content: 'x' }] },
  countMessageTokens: { model: 'org/fake', messages: [{ role: 'user', content: 'x' }] },
  createResponse: { model: 'org/fake', input: 'x' },
  countResponseTokens: { model: 'org/fake', input: 'x' },
  storeClone: { model: 'org/fake', target: 'copy' },
  storeConvert: { source: 'copy', target: 'other', repair: true },
  storePush: { directory: 'copy', repository: 'org/fake', private: true, dryRun: true },
  createApiKey: { name: 'one', scopes: ['inference'] },
  engineInstall: {},
  engineUpdate: {},
  explainRoute: { body: { model: 'org/fake' } },
  pinModel: { model: 'org/fake', pinned: true },
  daemonStop: {},
  stackUp: {},
  stackDown: {},
  trustAddSource: { type: 'hub', name: 'org/*', require: 'signature' },
  trustMode: { mode: 'warn' },
  trustAccept: { model: 'org/fake' },
  trustRevoke: { model: 'org/fake', reason: 'x' },
  trustExplain: { model: 'org/fake' },
  newSigningKey: {},
  importSigningKey: { pem: 'x' },
  rotateSigningKey: {},
  retireSigningKey: {},
  revokeSigningKey: {},
  approveSigningKey: {},
  auditSignReview: { name: 'somebody' },
  silenceAlerts: { rule: 'R1', until: '2027-01-31T00:00:00Z' },
};
/** Routes of our own are strict; those of public APIs take what they do not know. */
const isOwn = ({ path }: EndpointDefinition): boolean => path.startsWith('/admin/');

interface NumericField {
  readonly path: readonly string[];
  readonly integer: boolean;
  readonly minimum: number;
}

type Schema = Record<string, unknown>;

/** Numeric fields of a body schema, those inside maps and lists too. */
function numericFields(schema: Schema, path: readonly string[] = []): NumericField[] {
  if (schema['type'] === 'number' || schema['type'] === 'integer') {
    return [{ path, integer: schema['type'] === 'integer', minimum: Number(schema['minimum'] ?? schema['exclusiveMinimum']) }];
  }
  const alternatives = (schema['anyOf'] ?? []) as Schema[];
  const properties = Object.entries((schema['properties'] ?? {}) as Record<string, Schema>).flatMap(([name, child]) => numericFields(child, [...path, name]));
  const map = schema['additionalProperties'] as Schema | undefined;
  const inside = map && Object.keys(map).length > 0 ? numericFields(map, [...path, '5']) : [];
  const items = schema['items'] ? numericFields(schema['items'] as Schema, [...path, '0']) : [];
  return [...alternatives.flatMap((each) => numericFields(each, path)), ...properties, ...inside, ...items];
}

/** The body as text, with the raw token at the path. */
function withToken(good: Record<string, unknown>, path: readonly string[], token: string): string {
  const place = (value: unknown, [head, ...rest]: readonly string[]): unknown => {
    if (head === undefined) return '@@';
    if (head === '0') return [place(undefined, rest)];
    return { ...(value as object), [head]: place((value as Record<string, unknown> | undefined)?.[head], rest) };
  };
  return JSON.stringify(place(good, path)).replace('"@@"', token);
}

async function send(endpoint: EndpointDefinition, body: string): Promise<{ status: number; param: string | null }> {
  const request = new Request(`http://hearth${endpoint.path.replace('{id}', endpoint.path.includes('/keys/') ? 'a'.repeat(64) : 'mlx')}`, {
    method: endpoint.method,
    headers: { 'content-type': 'application/json' },
    body,
  });
  const response = await server.api.request(request);
  if (response.ok) {
    await response.body?.cancel();
    return { status: response.status, param: null };
  }
  const told = (await response.json()) as { readonly type?: string; readonly error: { readonly details?: { readonly param?: string } } };
  return { status: response.status, param: told.type === 'error' ? (told.error.details?.param ?? null) : errorReply.parse(told).error.param };
}

test('[security G27] wrong types, numbers as text, NaN, Infinity, 1e400, -1 and 2^53+1 in each numeric field of bodies, forms and queries are 400 naming it; unknown fields too, on own routes', async () => {
  let checked = 0;
  for (const endpoint of Object.values(endpoints) as EndpointDefinition[]) {
    const document = openApiDocument({ one: endpoint }, '0') as {
      paths: Record<string, Record<string, { requestBody?: { content: Record<string, { schema: Schema }> } }>>;
    };
    const schema = Object.values(Object.values(document.paths)[0]!)[0]!.requestBody?.content['application/json']?.schema;
    if (!schema) continue;
    const good = GOOD[endpoint.id]!;
    expect(good, `a good body of ${endpoint.id}`).toBeDefined();
    for (const field of numericFields(schema)) {
      const wrong = ['"5"', 'true', '{}', 'NaN', 'Infinity', '-Infinity', '1e400', '-1e400', '9007199254740993'];
      if (field.integer) wrong.push('1.5', '-9007199254740993');
      if (field.minimum >= 0) wrong.push('-1');
      for (const token of wrong) {
        // A prompt may be a list of texts as well, and so may the input of vectors.
        if ((field.path[0] === 'prompt' || field.path[0] === 'input') && token === '"5"') continue;
        const { status, param } = await send(endpoint, withToken(good, field.path, token));
        expect({ route: endpoint.id, field: field.path, token, status }).toEqual({ route: endpoint.id, field: field.path, token, status: 400 });
        expect(param, `${endpoint.id} ${field.path.join('.')} = ${token}`).toContain(field.path[0]);
        checked += 1;
      }
    }
    const unknown = await send(endpoint, JSON.stringify({ ...good, no_such_field: 1 }));
    if (isOwn(endpoint)) expect(unknown, endpoint.id).toEqual({ status: 400, param: 'no_such_field' });
    else expect(unknown.param ?? '', endpoint.id).not.toContain('no_such_field');
  }
  expect(checked).toBeGreaterThan(300);

  for (const [path, field] of [
    ['/admin/v1/audit/tail', 'lines'],
    ['/admin/v1/logs/hearthd', 'tail'],
  ] as const)
    for (const token of ['"5"', 'NaN', 'Infinity', '1e400', '-1', '1.5', '9007199254740993', ''])
      expect([path, token, await refusal(`${path}?${field}=${encodeURIComponent(token)}`)]).toEqual([path, token, [400, field]]);
  for (const path of ['/v1/audio/transcriptions', '/v1/audio/translations'])
    for (const token of ['"0.5"', 'NaN', 'Infinity', '1e400', '-1', '9007199254740993', 'true']) {
      const form = new FormData();
      form.append('file', new Blob([Buffer.alloc(64)]), 'a.wav');
      form.append('model', 'org/fake');
      form.append('temperature', token);
      expect([path, token, await refusal(path, { method: 'POST', body: form })]).toEqual([path, token, [400, 'temperature']]);
    }
});

async function refusal(path: string, init?: RequestInit): Promise<[number, string | null]> {
  const response = await server.api.request(new Request(`http://hearth${path}`, init));
  const { error } = (await response.json()) as { readonly error?: { readonly param: string | null } };
  return [response.status, error?.param ?? null];
}
