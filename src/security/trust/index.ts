// Owns: whom and what to trust: the sealed policy, the contents that were accepted, keys of signers, the verdict before a load and the view that it opens.
// Refuses: what a signature looks like (signing), what a file may hold (intake), where models live (store).
// Called by: gateway's load path, api's routes, app.
export { createTrust, type Explanation, type PulledModel, type Trust, type TrustOptions } from './create-trust.ts';
export { createInstallKey, type InstallKey } from './install-key.ts';
export { BUILT_IN_SOURCES, type KeyState, keyState, type TrustedKey, type TrustPolicy, type TrustSource, trustSource } from './policy.ts';
export { CURVES, type Curve, createSigningKeys, readKeyFile, type SigningKeyRow, type SigningKeys } from './signing-keys.ts';
export type * from './types.ts';
