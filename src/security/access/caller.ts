import { type ApiKeyRecord, DEFAULT_KEY_POLICY, type KeyPolicy, type Scope } from '../../contract/index.ts';
import { HearthError, type SecurityActor } from '../../core/index.ts';

/** Who sends a request. The Unix socket's file mode and the own process are guards enough for every scope. */
export type Caller =
  | { readonly kind: 'trusted'; readonly via: 'socket' | 'in-process'; readonly cacheSalt?: string }
  | {
      readonly kind: 'tcp';
      readonly remoteAddress: string;
      /** Inference needs a key too. */
      readonly requireKey: boolean;
      /** Set once the request's key has been checked. */
      readonly key?: ApiKeyRecord;
      /** Overrides whose prefixes may be used again (`prefixCache.isolation: shared`). */
      readonly cacheSalt?: string;
    };

export const IN_PROCESS: Caller = { kind: 'trusted', via: 'in-process' };

/** How the caller is named in the security log: never by the key itself. */
export const actorOf = (caller: Caller): SecurityActor => ({
  key: callerId(caller),
  ...(caller.kind === 'tcp' && caller.remoteAddress !== '' ? { ip: caller.remoteAddress } : {}),
});

/** Requests without a key count as one key `local`, those over the socket as `owner` (docs/spec/serving.md §6.6). */
export const callerId = (caller: Caller): string => (caller.kind === 'trusted' ? 'owner' : (caller.key?.id ?? 'local'));

/** What the caller may do, and how much. */
export const policyOf = (caller: Caller): KeyPolicy =>
  caller.kind === 'trusted' ? { ...DEFAULT_KEY_POLICY, scopes: ['admin'] } : (caller.key?.policy ?? DEFAULT_KEY_POLICY);

/** Who may share evaluated prefixes (docs/spec/serving.md §4 item 5). */
export const cacheSaltOf = (caller: Caller): string => caller.cacheSalt ?? callerId(caller);

/** Whether the caller holds the scope by a key, the socket or the own process; an open route is not asked about here. */
export const holdsScope = (caller: Caller, scope: Scope): boolean => {
  const { scopes } = policyOf(caller);
  return caller.kind === 'trusted' || (caller.key !== undefined && scopes.some((held) => held === scope || held === 'admin'));
};

/**
 * null when the caller may use the scope, else the 401 without a key or the 403 with one that lacks the scope. On TCP `public` is open to
 * everybody, and `inference` too to callers without a key unless the listener requires one (docs/spec/security.md §10).
 */
export function checkScope(caller: Caller, scope: Scope): HearthError | null {
  if (scope === 'public' || holdsScope(caller, scope)) return null;
  if (caller.kind === 'tcp' && caller.key === undefined) return scope === 'inference' && !caller.requireKey ? null : invalidKey();
  return new HearthError('permission_denied', `This key does not have the scope ${scope}.`, { details: { scope } });
}

/** The same words whether the key is missing, unknown, revoked or expired. */
export const invalidKey = (): HearthError => new HearthError('invalid_api_key', 'This needs a valid API key, or the Unix socket of the daemon.');
