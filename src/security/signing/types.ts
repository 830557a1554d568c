/** A signer that the trust store knows (docs/spec/security.md §3, `keys[]` of the policy). */
export interface TrustedSigner {
  /** Hex SHA-256 of the SPKI PEM text; certificates and keyless identities have one of their leaf or identity. */
  readonly hint: string;
  readonly role: 'publisher' | 'internal' | 'developer';
  readonly kind: 'key' | 'cert' | 'keyless';
  /** `key`: SPKI in PEM. */
  readonly pem?: string;
  /** `cert`: the only roots that count, PEM; `subject` is the leaf's subject or one of its alternative names, matched exactly. */
  readonly roots?: readonly string[];
  readonly subject?: string;
  /** `keyless`: both matched exactly. */
  readonly identity?: string;
  readonly issuer?: string;
  /** Globs of the model ids that this signer may sign for. */
  readonly models: readonly string[];
  /** Where set, the only content that it may vouch for. */
  readonly rootDigest?: string;
  /** Milliseconds since the epoch. */
  readonly notBefore?: number;
  readonly retireAt?: number;
  readonly revokedAt?: number;
}

/** Identity of a file at the time its bytes were hashed (docs/spec/security.md §6). Nanoseconds and inodes are decimal texts. */
export interface FileIdentity {
  readonly dev: string;
  readonly ino: string;
  readonly size: number;
  readonly mtimeNs: string;
  readonly ctimeNs: string;
}

/** One regular file of a model: `path` is relative and POSIX, `source` the file that holds the bytes (a cache's blob, say). */
export interface ModelFile {
  readonly path: string;
  readonly source: string;
  readonly identity: FileIdentity;
}

export interface HashedFile extends ModelFile {
  /** Lower-case hex. */
  readonly sha256: string;
}

/** One thing that is wrong; `code` is a row of docs/spec/security.md §1.2 to §2. */
export interface SignatureProblem {
  readonly code: string;
  readonly message: string;
  readonly file?: string;
  /** Digests in hex, or values, as far as the code has them. */
  readonly expected?: string;
  readonly actual?: string;
}

/** A verification as data: all problems at once; `ok` only with none. */
export interface VerifyReport {
  readonly ok: boolean;
  readonly rootDigest: string | null;
  readonly signer: { readonly kind: TrustedSigner['kind']; readonly hint: string | null; readonly subject?: string } | null;
  readonly files: readonly HashedFile[];
  readonly problems: readonly SignatureProblem[];
  readonly warnings: readonly SignatureProblem[];
}

/** A row of `revoked[]` of the policy: one of both is set. */
export interface RevokedEntry {
  readonly hint?: string;
  readonly rootDigest?: string;
}
