import { HearthError } from '../../core/index.ts';
import type { SignatureProblem } from './types.ts';

/** Who signed, as the bundle says it: nothing of it is believed before the signature was checked. */
export type SignatureMaterial =
  | { readonly kind: 'key'; readonly hint: string | null }
  | { readonly kind: 'cert'; readonly certificates: readonly Uint8Array[] }
  | { readonly kind: 'keyless'; readonly certificate: Uint8Array };

export interface Signature {
  readonly material: SignatureMaterial;
  /** The signed bytes of the in-toto statement, as they are in the bundle. */
  readonly payload: Uint8Array;
  /** DER. */
  readonly signature: Uint8Array;
  /** The whole bundle, parsed: for the keyless check. */
  readonly bundle: Readonly<Record<string, unknown>>;
}

/** Reads the bundle's shape (docs/spec/security.md §1). Never throws: what is wrong comes as problems, with `signature` null. */
export function readSignature(_bytes: Uint8Array): { readonly signature: Signature | null; readonly problems: readonly SignatureProblem[] } {
  throw new HearthError('not_implemented', 'Reading a signature is not part of this version yet.');
}
