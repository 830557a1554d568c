/** What a bundle says about who signed; certificates are DER, leaf first. */
export type SignerMaterial =
  | { readonly kind: 'key'; readonly hint: string }
  | { readonly kind: 'cert'; readonly hint: string; readonly certificates: readonly Uint8Array[] };

/** Something that holds a private key of one of the three curves (docs/spec/security.md §1.1). */
export interface ModelSigner extends AsyncDisposable {
  readonly material: SignerMaterial;
  /** SPKI in PEM. */
  readonly publicKey: string;
  /** DER ECDSA signature over the bytes, hashed as the curve asks. */
  sign(bytes: Uint8Array): Promise<Uint8Array>;
}
