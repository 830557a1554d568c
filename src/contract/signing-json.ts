/** `data` of `hearth sign --json`. */
export interface SignData {
  /** As it was asked for. */
  readonly model: string;
  /** Absolute path of the signature file. */
  readonly signature: string;
  /** Name of the content: hex SHA-256 over the digests of all files. */
  readonly rootDigest: string;
  /** Id of the key: hex SHA-256 of its public half as PEM text. */
  readonly key: string;
  /** SPKI in PEM: what others need to verify. */
  readonly publicKey: string;
  readonly files: number;
  readonly bytes: number;
}

/** One thing that is wrong, or worth knowing; codes: docs/spec/security.md §1.2 to §2. */
export interface SigningProblem {
  readonly code: string;
  readonly message: string;
  /** Relative to the model. */
  readonly file?: string;
  readonly expected?: string;
  readonly actual?: string;
}

/** `data` of `hearth verify --json`. */
export interface VerifyData {
  readonly model: string;
  /** True only without a problem. */
  readonly ok: boolean;
  /** Of the content that was signed; null where the signature cannot be read. */
  readonly rootDigest: string | null;
  /** Who signed, as far as the signature says and the check bore out; null without a readable signature. */
  readonly signer: {
    readonly kind: 'key' | 'cert' | 'keyless';
    /** Id of the key. */
    readonly key: string | null;
    /** Of a certificate or an identity. */
    readonly subject: string | null;
    /** Where whom to trust came from: the command line, or the trust policy. */
    readonly trustedBy: 'command-line' | 'policy';
  } | null;
  /** Files that were hashed, and their bytes. */
  readonly files: number;
  readonly bytes: number;
  readonly problems: readonly SigningProblem[];
  readonly warnings: readonly SigningProblem[];
}
