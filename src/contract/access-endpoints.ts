import { z } from 'zod';
import { defineEndpoint, SCOPES } from './endpoint.ts';

const scope = z.enum(SCOPES).exclude(['public']);
const count = z.int().min(1).max(1_000_000_000);

/** What a key may do, and how much of it (docs/spec/serving.md §6.6). null = no limit of the key's own. */
const policyFields = {
  scopes: z.array(scope).min(1).max(SCOPES.length),
  /** Globs of model ids, `*` for any part; empty = all models. */
  models: z.array(z.string().min(1).max(256)).max(64),
  /** Requests a minute. */
  rpm: count.nullable(),
  /** Tokens a minute: prompts and answers together. */
  tpm: count.nullable(),
  /** Requests at the same time. */
  maxConcurrent: count.nullable(),
  /** New tokens of one answer: a request for more gets these. */
  maxTokens: count.nullable(),
  /** What requests that cost money may cost in one window of UTC time. */
  budgetUsd: z.strictObject({ amount: z.number().min(0).max(1_000_000), window: z.enum(['hour', 'day', 'month']) }).nullable(),
  /** `batch` waits for `interactive`, 30 s at most. */
  priority: z.enum(['interactive', 'batch']),
  /** `local-only`: nothing of its requests leaves this machine. */
  privacy: z.enum(['any', 'local-only']),
};

export const keyPolicy = z.strictObject(policyFields);
export type KeyPolicy = z.infer<typeof keyPolicy>;

/** What a new key has where its maker says nothing. */
export const DEFAULT_KEY_POLICY: KeyPolicy = {
  scopes: ['inference'],
  models: [],
  rpm: null,
  tpm: null,
  maxConcurrent: null,
  maxTokens: null,
  budgetUsd: null,
  priority: 'interactive',
  privacy: 'any',
};

const keyId = z.string().regex(/^[a-z0-9]{12}$/, { error: 'must be the 12 characters between the underscores of a key' });
const instant = z.iso.datetime({ error: 'must be a time such as 2027-01-31T00:00:00Z' });

/** A key as its owner sees it later: never the key itself. */
export const apiKeyRecord = z.strictObject({
  id: keyId,
  name: z.string().nullable(),
  policy: keyPolicy,
  createdAt: instant,
  expiresAt: instant.nullable(),
  revokedAt: instant.nullable(),
});
export type ApiKeyRecord = z.infer<typeof apiKeyRecord>;

export const newApiKeyRequest = z.strictObject({
  ...z.strictObject(policyFields).partial().shape,
  /** For its owner to know it by. */
  name: z.string().min(1).max(100).nullable().optional(),
  expiresAt: instant.nullable().optional(),
});
/** The only time that the key is told. */
export const newApiKeyReply = z.strictObject({ key: z.string(), record: apiKeyRecord });

const reloadReply = z.strictObject({
  at: instant.nullable(),
  cause: z.enum(['start', 'file', 'signal', 'admin']),
  ok: z.boolean(),
  /** Whole sentences with file and line; then nothing was changed. */
  problems: z.array(z.string()),
  /** Keys whose value changed. */
  changed: z.array(z.string()),
  /** Of these, the ones that take effect at the next start of the daemon only. */
  needRestart: z.array(z.string()),
});
export type ReloadResult = z.infer<typeof reloadReply>;

export const accessEndpoints = {
  createApiKey: defineEndpoint({
    id: 'createApiKey',
    method: 'POST',
    path: '/admin/v1/apikeys',
    scope: 'admin',
    summary: 'Make an API key; it is told this once.',
    body: newApiKeyRequest,
    reply: newApiKeyReply,
  }),
  listApiKeys: defineEndpoint({
    id: 'listApiKeys',
    method: 'GET',
    path: '/admin/v1/apikeys',
    scope: 'admin',
    summary: 'List the API keys with what each may do, without the keys themselves.',
    reply: z.strictObject({ keys: z.array(apiKeyRecord) }),
  }),
  revokeApiKey: defineEndpoint({
    id: 'revokeApiKey',
    method: 'DELETE',
    path: '/admin/v1/apikeys/{id}',
    scope: 'admin',
    summary: 'Revoke an API key at once and for good.',
    params: z.strictObject({ id: keyId }),
    reply: z.strictObject({ record: apiKeyRecord }),
  }),
  reloadConfig: defineEndpoint({
    id: 'reloadConfig',
    method: 'POST',
    path: '/admin/v1/config/reload',
    scope: 'admin',
    summary: 'Read the configuration again and apply it; an invalid one is refused and the old one stays.',
    reply: reloadReply,
  }),
  lastReload: defineEndpoint({
    id: 'lastReload',
    method: 'GET',
    path: '/admin/v1/config/reload',
    scope: 'admin',
    summary: 'What the last reload of the configuration did.',
    reply: reloadReply,
  }),
};
