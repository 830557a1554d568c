// Owns: OpenSSF model signatures: the walk over a model, the hashes of its files, the signature's bytes, signing and verifying, certificates and keyless bundles.
// Refuses: whom to trust and what to do with a verdict (trust); where models live (store).
// Called by: trust and intake beside it, store, app.
export { hintOf, spkiPem } from './ec-key.ts';
export { identityOf, sameIdentity } from './file-identity.ts';
export { SIGNATURE_FILE } from './formats.ts';
export { hashFiles, rootDigestOf } from './hash-files.ts';
export { type HashOptions, hashAll } from './hash-pool.ts';
export type { HashResult, HashWork } from './hash-work.ts';
export { comparePaths } from './path-order.ts';
export { createTokenSigner } from './pkcs11-signer.ts';
export { readSignature, type Signature, type SignatureMaterial } from './read-signature.ts';
export { type SignDirectoryOptions, type SignedModel, signDirectory } from './sign-directory.ts';
export { signedPaths } from './signed-paths.ts';
export { createKeySigner, type ModelSigner, parsePrivateKey, readPrivateFile, requireCurve, type SignerMaterial, withCertificates } from './signer.ts';
export type * from './types.ts';
export { readSignatureFile, type VerifyDirectoryOptions, verifyDirectory } from './verify-directory.ts';
export { type ModelWalk, type WalkModelOptions, walkModel } from './walk-model.ts';
