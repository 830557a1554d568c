/** Fixed texts of the format (docs/spec/security.md §1; sigstore bundle v0.3, DSSE v1, in-toto Statement v1, model signing v1.0). */
export const BUNDLE_TYPE = 'application/vnd.dev.sigstore.bundle.v0.3+json';
export const PAYLOAD_TYPE = 'application/vnd.in-toto+json';
export const STATEMENT_TYPE = 'https://in-toto.io/Statement/v1';
export const PREDICATE_TYPE = 'https://model_signing/signature/v1.0';
export const LEGACY_PREDICATE_TYPE = 'https://model_signing/Digests/v0.1';

/** The name under which a signature lies in the directory that it signs. */
export const SIGNATURE_FILE = 'model.sig';
/** Always ignored, at the root only. */
export const IGNORED_ALWAYS: readonly string[] = ['.git', '.gitattributes', '.github', '.gitignore'];
/**
 * What a managed folder says of itself (docs/spec/store.md §8, §9): hearth rewrites the one, neither is ever sent, and no engine gets them. So a signature leaves
 * them out, and one that was made elsewhere holds for a folder that has them.
 */
export const WORKSPACE_MARKS: readonly string[] = ['.mlxk_workspace.json', '.hfignore'];

export const MAX_BUNDLE_BYTES = 32 * 1024 * 1024;
export const MAX_RESOURCES = 100_000;
export const MAX_PATH_BYTES = 1024;
export const MAX_JSON_DEPTH = 64;

/** What is signed: DSSE's pre-authentication encoding of the payload. */
export const signedBytes = (payload: Uint8Array): Buffer =>
  Buffer.concat([Buffer.from(`DSSEv1 ${Buffer.byteLength(PAYLOAD_TYPE)} ${PAYLOAD_TYPE} ${payload.length} `), payload]);
