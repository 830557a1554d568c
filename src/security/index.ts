// Owns: who may send what: callers and scopes, Host and Origin checks, the strict JSON scan of request bodies; what must not leave the machine.
// Refuses: HTTP servers and routes; it judges what it is given.
// Called by: store, gateway, training, stack, api, app.
export { type Access, type AccessOptions, createAccess } from './access/access.ts';
export { type ApiKeyStore, createApiKeyStore, type NewApiKey, NO_API_KEYS } from './access/api-keys.ts';
export { actorOf, type Caller, cacheSaltOf, callerId, checkScope, holdsScope, IN_PROCESS, policyOf } from './access/caller.ts';
export { fetchGuarded, type GuardedFetchOptions } from './access/guarded-fetch.ts';
export { checkHost, checkOrigin, isAllowedOrigin, isLoopback, type ListenerNames } from './access/host-origin.ts';
export { parseJsonStrictly } from './access/json-scan.ts';
export { modelAllowed } from './access/model-globs.ts';
export { BlockedHost } from './access/url-guard.ts';
export {
  AUDIT_FAULTS,
  type AuditLine,
  type AuditReview,
  type AuditVerification,
  createSecurityLog,
  digestOf,
  followLog,
  logPlaces,
  readLog,
  reviewLog,
  type SecurityLog,
  type SecurityLogOptions,
  tailLog,
  verifyLog,
} from './audit/index.ts';
export * from './detect/index.ts';
export { createSecretScanner, findingByContent, type SecretScanner } from './hygiene/push-content.ts';
export { findingByName, type PushFinding, type PushFindingCode } from './hygiene/push-names.ts';
export * from './intake/index.ts';
export * from './signing/index.ts';
export * from './supply/index.ts';
export * from './trust/index.ts';
