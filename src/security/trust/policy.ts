import { z } from 'zod';
import { modelAllowed } from '../access/model-globs.ts';
import type { Requirement, SourceKind } from './types.ts';

const hex = z.string().regex(/^[0-9a-f]{64}$/, { error: 'must be 64 hex digits' });
const time = z.int().min(0);
const glob = z.string().min(1).max(256);

export const trustSource = z.strictObject({
  type: z.enum(['hub', 'workspace', 'path']),
  /** Glob of model ids; of a path: of the absolute path. */
  name: glob,
  require: z.enum(['signature', 'pinned-hash', 'tofu', 'gates', 'deny']),
  /** Hints of the only keys whose signature counts here; absent: every trusted one. */
  keys: z.array(hex).max(64).optional(),
  /** The only forms of weights that are taken. */
  formats: z.array(z.enum(['safetensors', 'gguf'])).optional(),
  /** Of all files together. */
  maxBytes: z.int().min(1).optional(),
});
export type TrustSource = z.infer<typeof trustSource>;

export const trustedKey = z.strictObject({
  hint: hex,
  role: z.enum(['publisher', 'internal', 'developer']),
  kind: z.enum(['key', 'cert', 'keyless']),
  name: z.string().max(100).optional(),
  pem: z.string().max(8192).optional(),
  roots: z.array(z.string().max(65_536)).max(32).optional(),
  subject: z.string().max(1024).optional(),
  identity: z.string().max(1024).optional(),
  issuer: z.string().max(1024).optional(),
  models: z.array(glob).min(1).max(64),
  rootDigest: hex.optional(),
  createdAt: time,
  notBefore: time.optional(),
  retireAt: time.optional(),
  revokedAt: time.optional(),
  /** Waits for a second person: not trusted yet. `by`: who asked. */
  pending: z.strictObject({ by: z.string().max(64), at: time }).optional(),
});
export type TrustedKey = z.infer<typeof trustedKey>;

const revocation = z.strictObject({ hint: hex.optional(), rootDigest: hex.optional(), at: time, reason: z.string().max(500) });
export type Revocation = z.infer<typeof revocation>;

/** `<home>/trust/policy.json` (docs/spec/security.md §3). */
export const trustPolicy = z.strictObject({
  v: z.literal(1),
  mode: z.enum(['enforce', 'warn', 'off']),
  sources: z.array(trustSource).max(1000),
  keys: z.array(trustedKey).max(1000),
  /** Pins: the only content that an id may have, whatever else is accepted. */
  models: z.record(z.string().max(256), z.strictObject({ commit: z.string().max(64).optional(), rootDigest: hex.optional() })),
  revoked: z.array(revocation).max(10_000),
});
export type TrustPolicy = z.infer<typeof trustPolicy>;

/** What holds where no policy was written: a new home needs no set-up. */
export const BUILT_IN_POLICY: TrustPolicy = { v: 1, mode: 'enforce', sources: [], keys: [], models: {}, revoked: [] };

/** Last in every list of sources. */
export const BUILT_IN_SOURCES: readonly TrustSource[] = [
  { type: 'hub', name: '*', require: 'pinned-hash' },
  { type: 'workspace', name: '*', require: 'gates' },
  { type: 'path', name: '*', require: 'tofu' },
];

export interface SourceRule {
  readonly source: TrustSource;
  /** Place in the list, from 1; null: built in. */
  readonly position: number | null;
}

/** The first source that fits decides. */
export function ruleFor(policy: TrustPolicy, type: SourceKind, name: string): SourceRule {
  const fits = (source: TrustSource): boolean => source.type === type && modelAllowed([source.name], name);
  const at = policy.sources.findIndex(fits);
  if (at >= 0) return { source: policy.sources[at]!, position: at + 1 };
  return { source: BUILT_IN_SOURCES.find(fits)!, position: null };
}

export const requirementOf = ({ source }: SourceRule): Requirement | null => (source.require === 'deny' ? null : source.require);

export type KeyState = 'pending' | 'not yet valid' | 'active' | 'retired' | 'revoked';

export function keyState(key: TrustedKey, nowMs: number): KeyState {
  if (key.revokedAt !== undefined) return 'revoked';
  if (key.pending !== undefined) return 'pending';
  if (key.retireAt !== undefined && key.retireAt <= nowMs) return 'retired';
  return key.notBefore !== undefined && nowMs < key.notBefore ? 'not yet valid' : 'active';
}
