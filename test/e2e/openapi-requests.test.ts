import { expect, test } from 'vitest';
import { type EndpointDefinition, endpoints, openApiDocument } from '../../src/contract/index.ts';
import { createStoreModels } from '../../src/gateway/index.ts';
import { startHttp } from '../support/http-fixture.ts';
import { violation } from '../support/json-schema-check.ts';
import { randomNumbers } from '../support/random-numbers.ts';
import { generateJson, generateOther, type Schema } from '../support/schema-values.ts';
import { cacheModel, makeTempStore, mlxModel } from '../support/temp-store.ts';

interface Operation {
  readonly operationId: string;
  readonly parameters?: readonly { readonly name: string; readonly in: string; readonly required: boolean; readonly schema: Schema }[];
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: Schema }>> };
  readonly responses: Readonly<Record<string, { readonly content: Readonly<Record<string, { readonly schema: Schema }>> }>>;
}
interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
  readonly 'x-error-codes': Readonly<Record<string, { readonly status: number }>>;
}

/** The text of docs/openapi.json, which is held equal to this by the test of generated documents. */
const document = JSON.parse(JSON.stringify(openApiDocument(endpoints as Readonly<Record<string, EndpointDefinition>>, '0'))) as Document;
/** Requests to each route; more by hand. */
const ROUNDS = Number(process.env['HEARTH_TEST_ROUNDS'] ?? 25);
const SEED = Number(process.env['HEARTH_TEST_SEED'] ?? 26);
/** After these there is nothing left to ask. */
const LAST = ['drain', 'daemonStop', 'stackDown'];
/** Faults of this machine's state, which a request may well meet: an upstream that is not there, something that is not built. */
const TOLD = ['not_implemented', 'dependency_missing', 'draining', 'upstream_unreachable', 'hub_unreachable', 'offline'];

const refered = (schema: Schema): Schema => {
  const name = /^#\/components\/schemas\/(\w+)$/.exec(String(schema['$ref'] ?? ''))?.[1];
  return name === undefined ? schema : document.components.schemas[name]!;
};

test('[security G26] requests made from docs/openapi.json, and ones that are nearly so, get on every route an answer that it documents, and never a fault of ours', async () => {
  await using store = await makeTempStore({ hub: { offline: true } });
  for (const id of ['org/fake', 'org/other']) await cacheModel(store.cacheDirectory, id, mlxModel());
  await using server = await startHttp({}, { store: store.store, models: createStoreModels(store.store) });
  const random = randomNumbers(SEED);
  const pick = <T>(values: readonly T[]): T => values[Math.floor(random() * values.length)]!;
  const statuses: Record<string, Set<number>> = {};
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method: method.toUpperCase(), operation })),
  );
  expect(operations.length).toBeGreaterThan(60);
  operations.sort((a, b) => Number(LAST.includes(a.operation.operationId)) - Number(LAST.includes(b.operation.operationId)));

  for (const { path, method, operation } of operations) {
    for (let round = 0; round < ROUNDS; round += 1) {
      const value = (schema: Schema, name: string): string =>
        String(name === 'ref' && random() < 0.6 ? 'org/fake' : random() < 0.7 ? generateJson(schema, random, name) : generateOther(random));
      let url = path;
      const query = new URLSearchParams();
      for (const { name, in: place, required, schema } of operation.parameters ?? []) {
        if (place === 'path') url = url.replace(`{${name}}`, encodeURIComponent((value(schema, name) || 'x').toWellFormed()));
        else if (required || random() < 0.4) query.append(name, value(schema, name).toWellFormed());
      }
      if (random() < 0.03) query.append(pick(['unknown', '__proto__', 'constructor']), 'x');
      const headers: Record<string, string> = {};
      let body: string | FormData | undefined;
      const content = operation.requestBody?.content;
      if (content?.['multipart/form-data']) {
        body = new FormData();
        body.append('file', new Blob([Buffer.alloc(Math.floor(random() * 200), 1)]), pick(['a.wav', '../x', 'ä\u202e']));
        if (random() < 0.8) body.append('model', 'org/fake');
        if (random() < 0.3)
          body.append(pick(['language', 'temperature', 'response_format', 'prompt', 'unknown']), String(generateOther(random)).toWellFormed());
      } else if (content?.['application/json']) {
        const { schema } = content['application/json'];
        headers['content-type'] = random() < 0.97 ? 'application/json' : pick(['text/plain', 'application/xml', '']);
        const made = generateJson(schema, random, '');
        if (typeof made === 'object' && made !== null && 'model' in made && random() < 0.8) made.model = 'org/fake';
        // Now and then one field is something else entirely.
        if (typeof made === 'object' && made !== null && random() < 0.3)
          Object.assign(made, { [pick([...Object.keys(made), 'unknown'])]: generateOther(random) });
        body = random() < 0.03 ? pick(['', '{', '[]', 'null', '{"a":1,"a":2}', '\u0000']) : JSON.stringify(made);
      }
      const text = query.size === 0 ? url : `${url}?${query}`;
      const response = await server.api.request(new Request(`http://hearth${text}`, { method, headers, ...(body === undefined ? {} : { body }) }));
      const what = `${method} ${text} ${typeof body === 'string' ? body.slice(0, 1500) : ''} -> ${response.status}`;
      const seen = statuses[operation.operationId] ?? new Set();
      statuses[operation.operationId] = seen.add(response.status);
      const type = response.headers.get('content-type')?.split(';')[0] ?? '';
      if (type === 'text/event-stream') {
        expect(response.status, what).toBe(200);
        expect(Object.keys(operation.responses['200']!.content), what).toContain(type);
        if (operation.operationId === 'events' || query.has('follow')) await response.body?.cancel();
        else expect(await response.text(), what).not.toContain('"code":"internal_error"');
        continue;
      }
      const answer = await response.text();
      if (response.ok) {
        expect(response.status, what).toBe(200);
        const documented = operation.responses['200']!.content[type];
        if (type === 'application/json' && documented) expect(violation(documented.schema, JSON.parse(answer)), `${what} ${answer.slice(0, 500)}`).toBeNull();
        continue;
      }
      const documented = operation.responses[response.status] ?? operation.responses['default']!;
      const shape = refered(documented.content['application/json']!.schema);
      const told = JSON.parse(answer) as { error: { code?: string; details?: { error_code?: string } } };
      expect(violation(shape, told), `${what} ${answer.slice(0, 500)}`).toBeNull();
      if (documented !== operation.responses['default']) continue;
      const code = told.error.details?.error_code ?? told.error.code ?? '';
      const row = document['x-error-codes'][code];
      expect(row, `${what} ${answer.slice(0, 500)}`).toBeDefined();
      if (!path.startsWith('/v1/messages')) expect(response.status, what).toBe(row!.status);
      if (response.status >= 500) expect(TOLD, `${what} ${answer.slice(0, 500)}`).toContain(code);
    }
  }
  for (const { operation } of operations) expect(statuses[operation.operationId], operation.operationId).toBeDefined();
  // They came past the checks: most routes answered well at least once, or looked for what the path names.
  const past = operations.filter(({ path, operation }) => {
    const seen = statuses[operation.operationId]!;
    return seen.has(200) || (path.includes('{') && seen.has(404));
  });
  expect(past.length).toBeGreaterThan(operations.length / 2);
}, 240_000);
