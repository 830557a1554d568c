// Owns: who may send what: callers and scopes, Host and Origin checks, the strict JSON scan of request bodies; what must not leave the machine.
// Refuses: HTTP servers and routes; it judges what it is given.
// Called by: store, gateway, training, stack, api, app.
export { type Caller, cacheSaltOf, checkScope, IN_PROCESS } from './access/caller.ts';
export { checkHost, checkOrigin, isAllowedOrigin, isLoopback, type ListenerNames } from './access/host-origin.ts';
export { parseJsonStrictly } from './access/json-scan.ts';
export { createSecretScanner, findingByContent, type SecretScanner } from './hygiene/push-content.ts';
export { findingByName, type PushFinding, type PushFindingCode } from './hygiene/push-names.ts';
