import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { fillPath, pathNames, SCOPES } from './endpoint.ts';
import { endpoints } from './endpoints.ts';
import { ERRORS } from './errors.ts';
import { openApiDocument } from './openapi.ts';

const typeRoots = fileURLToPath(new URL('../../node_modules/@types', import.meta.url));
const tsc = fileURLToPath(new URL('../../node_modules/.bin/tsc', import.meta.url));

/** Error lines of the compiler for one file. */
async function compile(source: string): Promise<string[]> {
  const directory = await mkdtemp(join(tmpdir(), 'hearth-endpoint-'));
  try {
    await writeFile(join(directory, 'check.mts'), source);
    const options = {
      extends: fileURLToPath(new URL('../../tsconfig.json', import.meta.url)),
      compilerOptions: { types: ['node'], typeRoots: [typeRoots], rewriteRelativeImportExtensions: false },
      include: [],
      files: ['check.mts'],
    };
    await writeFile(join(directory, 'tsconfig.json'), JSON.stringify(options));
    const output = await new Promise<string>((resolve) => {
      execFile(tsc, ['-p', directory], (_, stdout, stderr) => resolve(stdout + stderr));
    });
    return output.split('\n').filter((line) => line.includes('error'));
  } finally {
    await rm(directory, { recursive: true });
  }
}

describe('endpoints', () => {
  test('[house H6] every endpoint declares a scope, and one without a scope does not compile', async () => {
    for (const endpoint of Object.values(endpoints)) expect(SCOPES).toContain(endpoint.scope);
    const start = `import { defineEndpoint } from '${fileURLToPath(new URL('./endpoint.ts', import.meta.url))}';\n`;
    const fields = "id: 'x', method: 'GET', path: '/x', summary: 'x'";
    expect(await compile(`${start}defineEndpoint({ ${fields}, scope: 'public' });`)).toEqual([]);
    expect((await compile(`${start}defineEndpoint({ ${fields} });`)).join()).toContain("'scope' is missing");
    expect((await compile(`${start}defineEndpoint({ ${fields}, scope: 'everyone' });`)).join()).toContain('everyone');
  });

  test('ids and routes are unique, prefixes are the agreed ones, and every name of a path is in its params', () => {
    const all = Object.entries(endpoints);
    for (const [id, endpoint] of all) {
      expect(endpoint.id).toBe(id);
      const names = pathNames(endpoint.path).map(({ name }) => name);
      const params = 'params' in endpoint ? Object.keys((endpoint.params as { shape: object }).shape) : [];
      expect(params).toEqual(names);
    }
    const routes = all.flatMap(([, endpoint]) =>
      [endpoint.path, ...('aliases' in endpoint ? endpoint.aliases : [])].map((path) => `${endpoint.method} ${path.replaceAll(/\{\w+\+?\}/g, '{}')}`),
    );
    expect(new Set(routes).size).toBe(routes.length);
    for (const route of routes) expect(route).toMatch(/ \/(v1\/|admin\/v1\/|health|metrics|tokenize|detokenize|apply-template|rerank)/);
  });

  test('a path is filled with encoded values, and a missing one is an error', () => {
    expect(fillPath('/v1/models/{id+}', { id: 'org/name:Q4 K' })).toBe('/v1/models/org%2Fname%3AQ4%20K');
    expect(() => fillPath('/v1/models/{id+}', {})).toThrow(TypeError);
  });

  test('numeric fields of every request have a least and a greatest value', () => {
    const document = openApiDocument(endpoints, '0.0.0') as { paths: Record<string, Record<string, { requestBody?: unknown; parameters?: unknown }>> };
    const loose: string[] = [];
    const walk = (value: unknown, at: string): void => {
      if (typeof value !== 'object' || value === null) return;
      const schema = value as Record<string, unknown>;
      // One of a few numbers is bounded by them.
      if ((schema['type'] === 'number' || schema['type'] === 'integer') && !('enum' in schema) && !('const' in schema)) {
        const bounded = (schema['minimum'] ?? schema['exclusiveMinimum']) !== undefined && (schema['maximum'] ?? schema['exclusiveMaximum']) !== undefined;
        if (!bounded) loose.push(at);
      }
      for (const [key, child] of Object.entries(schema)) walk(child, `${at}/${key}`);
    };
    for (const [path, operations] of Object.entries(document.paths)) {
      for (const [method, { requestBody, parameters }] of Object.entries(operations)) walk({ requestBody, parameters }, `${method} ${path}`);
    }
    expect(loose).toEqual([]);
  });

  test('the OpenAPI document names every route with its scope, and every code of the error table', () => {
    const document = openApiDocument(endpoints, '1.2.3') as Record<string, Record<string, unknown>>;
    expect(document['info']).toMatchObject({ title: 'hearth', version: '1.2.3' });
    expect(Object.keys(document['x-error-codes']!).sort()).toEqual(Object.keys(ERRORS).sort());
    expect(document['paths']!['/v1/models/{id}']).toMatchObject({
      get: { operationId: 'getModel', 'x-scope': 'inference', parameters: [{ name: 'id', in: 'path' }] },
    });
    expect(document['paths']!['/v1/tokenize']).toMatchObject({ post: { operationId: 'tokenizeAlias1' } });
    expect(document['paths']!['/v1/chat/completions']).toMatchObject({
      post: { requestBody: { content: { 'application/json': { schema: { required: ['model', 'messages'] } } } } },
    });
  });
});
