import { z } from 'zod';
import { defineEndpoint } from './endpoint.ts';

const text = z.string();
const hex = z.string().regex(/^[0-9a-f]{64}$/, { error: 'must be 64 hex digits' });
const keyId = z.string().regex(/^[0-9a-f]{8,64}$/, { error: 'must be the id of a key, or its first 8 characters' });
const time = z.number().nullable();
const glob = z.string().min(1).max(256);
const reference = z.string().min(1).max(4096);
const reason = z.string().min(1).max(500);
const role = z.enum(['publisher', 'internal', 'developer']);

const sourceRule = {
  type: z.enum(['hub', 'workspace', 'path']),
  /** Glob of model ids; of a path: of the absolute path. */
  name: glob,
  require: z.enum(['signature', 'pinned-hash', 'tofu', 'gates', 'deny']),
  /** Ids of the only keys whose signature counts here. */
  keys: z.array(hex).max(64).optional(),
  formats: z.array(z.enum(['safetensors', 'gguf'])).optional(),
  maxBytes: z.int().min(1).optional(),
};

const signingKey = z.strictObject({
  id: hex,
  name: text.nullable(),
  role,
  kind: z.enum(['key', 'cert', 'keyless']),
  state: z.enum(['pending', 'not yet valid', 'active', 'retired', 'revoked']),
  /** Its private half is in the home. */
  signs: z.boolean(),
  models: z.array(text),
  /** Milliseconds since the epoch. */
  createdAt: z.number(),
  notBefore: time,
  retireAt: time,
  revokedAt: time,
  /** Public half, PEM. */
  pem: text.nullable(),
});
export type SigningKeyRecord = z.infer<typeof signingKey>;

const trustReply = z.strictObject({
  mode: z.enum(['enforce', 'warn', 'off']),
  /** Nothing was ever written: the rules that every home begins with. */
  builtIn: z.boolean(),
  /** The first that fits decides; position null: built in. */
  sources: z.array(z.strictObject({ position: z.number().nullable(), ...sourceRule })),
  keys: z.array(signingKey),
  pins: z.record(z.string(), z.looseObject({ commit: text.optional(), rootDigest: text.optional() })),
  revoked: z.array(z.looseObject({ hint: text.optional(), rootDigest: text.optional(), at: z.number(), reason: text })),
});
export type TrustReply = z.infer<typeof trustReply>;

/** What decides about one model, and how. */
export const trustExplanation = z.strictObject({
  model: text,
  name: text,
  source: z.enum(['hub', 'workspace', 'path']),
  mode: z.enum(['enforce', 'warn', 'off']),
  /** Position of the rule that decides; null: a built-in one. */
  rule: z.number().nullable(),
  require: text.nullable(),
  decision: z.enum(['accepted', 'warned', 'refused', 'unchecked']),
  reason: text.nullable(),
  revision: text.nullable(),
  rootDigest: text.nullable(),
  signer: text.nullable(),
  firstUse: z.boolean(),
  files: z.number(),
  bytes: z.number(),
  firstSeen: time,
  lastAccepted: time,
  /** SHA-256 of each chat template. */
  templates: z.array(z.strictObject({ file: text, sha256: hex })),
  /** What to do; null where nothing is wrong. */
  advice: text.nullable(),
  problems: z.array(z.looseObject({ code: text, message: text, file: text.optional(), expected: text.optional(), actual: text.optional() })),
});
export type TrustExplanation = z.infer<typeof trustExplanation>;

const keyReply = z.strictObject({ key: signingKey });
const id = z.strictObject({ id: keyId });
const newKey = {
  role: role.optional(),
  models: z.array(glob).min(1).max(64).optional(),
  name: z.string().min(1).max(100).optional(),
  passphrase: z.string().max(1024).optional(),
};

/** Whom to trust, and with which keys (docs/spec/security.md §3). */
export const trustEndpoints = {
  trustPolicy: defineEndpoint({
    id: 'trustPolicy',
    method: 'GET',
    path: '/admin/v1/trust',
    scope: 'admin',
    summary: 'The trust policy in force.',
    reply: trustReply,
  }),
  trustAddSource: defineEndpoint({
    id: 'trustAddSource',
    method: 'POST',
    path: '/admin/v1/trust/sources',
    scope: 'admin',
    summary: 'Add a rule for models of a source; it comes before those that are there.',
    body: z.strictObject(sourceRule),
    reply: trustReply,
  }),
  trustRemoveSource: defineEndpoint({
    id: 'trustRemoveSource',
    method: 'DELETE',
    path: '/admin/v1/trust/sources/{position}',
    scope: 'admin',
    summary: 'Take a rule out of the trust policy.',
    params: z.strictObject({ position: z.string().regex(/^[1-9]\d{0,3}$/) }),
    reply: trustReply,
  }),
  trustMode: defineEndpoint({
    id: 'trustMode',
    method: 'POST',
    path: '/admin/v1/trust/mode',
    scope: 'admin',
    summary: 'Refuse models that break the policy, warn of them, or check nothing.',
    body: z.strictObject({ mode: z.enum(['enforce', 'warn', 'off']) }),
    reply: trustReply,
  }),
  trustSeal: defineEndpoint({
    id: 'trustSeal',
    method: 'POST',
    path: '/admin/v1/trust/seal',
    scope: 'admin',
    summary: 'Accept the policy file as it was edited by hand.',
    reply: trustReply,
  }),
  trustAccept: defineEndpoint({
    id: 'trustAccept',
    method: 'POST',
    path: '/admin/v1/trust/accept',
    scope: 'admin',
    summary: 'Take the content that a model has now as the known one.',
    body: z.strictObject({ model: reference }),
    reply: trustExplanation,
  }),
  trustRevoke: defineEndpoint({
    id: 'trustRevoke',
    method: 'POST',
    path: '/admin/v1/trust/revoke',
    scope: 'admin',
    summary: 'Refuse a content from now on, whatever vouches for it.',
    body: z.strictObject({ rootDigest: hex.optional(), model: reference.optional(), reason }),
    reply: trustReply,
  }),
  trustExplain: defineEndpoint({
    id: 'trustExplain',
    method: 'POST',
    path: '/admin/v1/trust/explain',
    scope: 'observe',
    summary: 'Which rule decides about a model, and how; changes nothing.',
    body: z.strictObject({ model: reference }),
    reply: trustExplanation,
  }),
  listSigningKeys: defineEndpoint({
    id: 'listSigningKeys',
    method: 'GET',
    path: '/admin/v1/keys',
    scope: 'admin',
    summary: 'The keys that sign models, without their private halves.',
    reply: z.strictObject({ keys: z.array(signingKey) }),
  }),
  newSigningKey: defineEndpoint({
    id: 'newSigningKey',
    method: 'POST',
    path: '/admin/v1/keys',
    scope: 'admin',
    summary: 'Make a key; its private half stays in the home.',
    body: z.strictObject({ curve: z.enum(['P-256', 'P-384', 'P-521']).optional(), ...newKey }),
    reply: keyReply,
  }),
  importSigningKey: defineEndpoint({
    id: 'importSigningKey',
    method: 'POST',
    path: '/admin/v1/keys/import',
    scope: 'admin',
    summary: 'Take a key in PEM; a private one over the socket only.',
    body: z.strictObject({ pem: z.string().min(1).max(65_536), pending: z.boolean().optional(), ...newKey }),
    reply: keyReply,
  }),
  rotateSigningKey: defineEndpoint({
    id: 'rotateSigningKey',
    method: 'POST',
    path: '/admin/v1/keys/{id}/rotate',
    scope: 'admin',
    summary: 'Make the successor of a key; both are valid for some days.',
    params: id,
    body: z.strictObject({ days: z.int().min(0).max(3650).optional(), passphrase: newKey.passphrase }),
    reply: z.strictObject({ old: signingKey, key: signingKey }),
  }),
  retireSigningKey: defineEndpoint({
    id: 'retireSigningKey',
    method: 'POST',
    path: '/admin/v1/keys/{id}/retire',
    scope: 'admin',
    summary: 'Let a key sign no longer; what it signed is not accepted any more.',
    params: id,
    body: z.strictObject({ at: z.int().min(0).optional() }),
    reply: keyReply,
  }),
  revokeSigningKey: defineEndpoint({
    id: 'revokeSigningKey',
    method: 'POST',
    path: '/admin/v1/keys/{id}/revoke',
    scope: 'admin',
    summary: 'Trust a key no longer, at once and for good.',
    params: id,
    body: z.strictObject({ reason: reason.optional() }),
    reply: keyReply,
  }),
  approveSigningKey: defineEndpoint({
    id: 'approveSigningKey',
    method: 'POST',
    path: '/admin/v1/keys/{id}/approve',
    scope: 'admin',
    summary: 'Approve a key that another person imported.',
    params: id,
    reply: keyReply,
  }),
};
