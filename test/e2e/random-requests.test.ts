import { expect, test } from 'vitest';
import {
  anthropicErrorReply,
  anthropicStatus,
  type EndpointDefinition,
  ERRORS,
  type ErrorCode,
  endpoints,
  errorReply,
  isErrorCode,
  pathNames,
} from '../../src/contract/index.ts';
import { createStoreModels } from '../../src/gateway/index.ts';
import { startHttp } from '../support/http-fixture.ts';
import { randomNumbers } from '../support/random-numbers.ts';
import { cacheModel, makeTempStore, mlxModel } from '../support/temp-store.ts';

const NAMES = [
  'org/fake',
  'fake',
  'org/other',
  'o',
  '',
  '../etc',
  '/etc/passwd',
  'a b',
  'x'.repeat(300),
  'org/fake@main',
  'org/fake:Q4',
  'ö/ü',
  '\u0000',
  '%2e%2e',
  'a//b',
  '@',
  ':',
];

/** After these there is nothing left to ask. */
const LAST = ['drain', 'daemonStop', 'stackDown'];
/** Random bodies do not reach their end: they want files, a stored answer, a key, an environment or an upstream that is not here. */
const HARD = [
  ...['storePull', 'storeRecalculate', 'storeClone', 'storeConvert', 'storePush', 'getResponse', 'deleteResponse', 'transcriptions', 'translations'],
  ...[
    'embeddings',
    'rerank',
    'createMessage',
    'revokeApiKey',
    'createApiKey',
    'logLines',
    'logRotate',
    'capture',
    'endReasoning',
    'cancelRequest',
    'cancelAnyRequest',
    'trustAddSource',
    'trustRemoveSource',
    'trustMode',
    'trustSeal',
    'trustAccept',
    'trustRevoke',
    'trustExplain',
    'listSigningKeys',
    'newSigningKey',
    'importSigningKey',
    'rotateSigningKey',
    'retireSigningKey',
    'revokeSigningKey',
    'approveSigningKey',
    'alerts',
    'acknowledgeAlert',
    'silenceAlerts',
    'endSilence',
    'reloadConfig',
    'events',
  ],
  ...[
    'engineInstall',
    'engineUpdate',
    'engineVerify',
    'engineRemove',
    'drainUpstream',
    'resumeUpstream',
    'resetBreaker',
    'daemonStop',
    'stackUp',
    'stackDown',
    'explainRoute',
    'auditReview',
    'auditSignReview',
  ],
];

/** Code and status of an error, whatever the shape of its API. */
function errorOf(answer: unknown, what: string): { readonly code: ErrorCode | null; readonly status: number } {
  const { success, data } = anthropicErrorReply.safeParse(answer);
  const told: unknown = success
    ? data.error['details'] && (data.error['details'] as { error_code?: unknown }).error_code
    : errorReply.parse(answer, { error: () => what }).error.code;
  if (typeof told !== 'string' || !isErrorCode(told)) return { code: null, status: 0 };
  return { code: told, status: success ? anthropicStatus(told) : ERRORS[told].status };
}

test('random requests to every route get an answer of its schema or an error of the table, and never an internal one', async () => {
  await using store = await makeTempStore({ hub: { offline: true } });
  await cacheModel(store.cacheDirectory, 'org/fake', mlxModel());
  await cacheModel(store.cacheDirectory, 'org/other', mlxModel());
  await using server = await startHttp({}, { store: store.store, models: createStoreModels(store.store) });
  const random = randomNumbers(20_26);
  const pick = <T>(values: readonly T[]): T => values[Math.floor(random() * values.length)]!;

  const scalar = (): unknown => pick([null, true, false, 0, 1, -1, 2, 0.5, 1e9, 2 ** 53, '', 'x', 'org/fake', '\n', '😀', [], {}]);
  const value = (depth: number): unknown => {
    if (depth === 0 || random() < 0.5) return scalar();
    if (random() < 0.5) return Array.from({ length: Math.floor(random() * 3) }, () => value(depth - 1));
    return Object.fromEntries(
      Array.from({ length: Math.floor(random() * 3) }, (_, index) => [pick(['type', 'text', 'role', 'content', 'name', `k${index}`]), value(depth - 1)]),
    );
  };
  const fieldsOf = (endpoint: EndpointDefinition): string[] =>
    Object.keys((endpoint.body as unknown as { shape?: object; def?: { shape?: object } })?.shape ?? { model: 0, path: 0, contextTokens: 0 });
  /** Often nearly right, so that the deeper steps are reached too. */
  const bodyOf = (endpoint: EndpointDefinition): string => {
    if (random() < 0.05) return pick(['', '{', '[]', 'null', '"x"', '{"a":1,"a":1}', '\u0000']);
    const body: Record<string, unknown> = { model: random() < 0.7 ? 'org/fake' : pick(NAMES) };
    if (random() < 0.8)
      body['messages'] =
        random() < 0.7 ? [{ role: pick(['system', 'user', 'assistant', 'tool']), content: pick(['hi', null, [{ type: 'text', text: 'x' }], 5]) }] : value(3);
    if (random() < 0.8) body['prompt'] = pick(['hi', ['a', 'b'], [1, 2], [[1], [2]], 5, null]);
    if (random() < 0.8) body['input'] = pick(['hi', [{ role: 'user', content: 'hi' }], 5, null]);
    if (random() < 0.8) body['pinned'] = random() < 0.5;
    if (random() < 0.8) body['tokens'] = pick([[1, 2], [-1], 'x', []]);
    for (const field of fieldsOf(endpoint)) if (random() < 0.08) body[field] = value(2);
    const wanted = new Set(fieldsOf(endpoint));
    return JSON.stringify(Object.fromEntries(Object.entries(body).filter(([name]) => wanted.has(name) || random() < 0.05)));
  };

  const seen: Record<string, Set<number>> = {};
  const ordered = (Object.values(endpoints) as EndpointDefinition[]).sort((a, b) => Number(LAST.includes(a.id)) - Number(LAST.includes(b.id)));
  for (const endpoint of ordered) {
    for (let round = 0; round < 60; round += 1) {
      const path = pathNames(endpoint.path).reduce(
        (filled, { name, rest }) => filled.replace(`{${name}${rest ? '+' : ''}}`, encodeURIComponent(pick(NAMES) || 'x')),
        endpoint.path as string,
      );
      const query =
        endpoint.query && random() < 0.5
          ? `?${pick(['pattern', 'files', 'config', 'force', 'nothing'])}=${encodeURIComponent(pick(['true', 'false', '', '../..', 'org', '/']))}`
          : '';
      const body = endpoint.method === 'POST' ? bodyOf(endpoint) : undefined;
      const request = new Request(`http://hearth${path}${query}`, {
        method: endpoint.method,
        ...(body === undefined ? {} : { body, headers: { 'content-type': 'application/json' } }),
      });
      const response = await server.api.request(request);
      const what = `${endpoint.method} ${path}${query} ${body ?? ''} -> ${response.status}`;
      if (endpoint.id === 'events' && response.ok) {
        // It has no end.
        await response.body?.cancel();
        continue;
      }
      const text = await response.text();
      seen[endpoint.id] = (seen[endpoint.id] ?? new Set()).add(response.status);
      if (response.headers.get('content-type')?.startsWith('text/')) {
        expect(text, what).not.toContain('"code":"internal_error"');
        continue;
      }
      const answer: unknown = JSON.parse(text);
      if (response.ok) {
        if (endpoint.reply) expect(endpoint.reply.safeParse(answer).error?.issues, what).toBeUndefined();
        continue;
      }
      if (endpoint.scope === 'public') continue;
      const { code, status } = errorOf(answer, what);
      expect(code !== null && code !== 'internal_error' && status === response.status, `${what} ${text}`).toBe(true);
    }
  }
  // The requests got past the first checks on every route whose service this app was built with.
  for (const [id, statuses] of Object.entries(seen)) if (!HARD.includes(id) && !statuses.has(501)) expect([...statuses], id).toContain(200);
}, 120_000);
